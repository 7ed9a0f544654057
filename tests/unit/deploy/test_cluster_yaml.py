"""The cluster files are what Ray's own autoscaler accepts, and their commands are what a shell and systemd accept."""

from __future__ import annotations

import copy
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from actors.cluster import WORKER_RESOURCE
from deploy.cli import load_command
from farm.setting_types import VRAM_CLASSES
from tests.imports import ROOT

FILES = {"aws": ROOT / "ray_cluster.yaml", "gcp": ROOT / "deploy" / "ray_cluster.gcp.yaml"}
STEPS = ("initialization_commands", "setup_commands", "head_setup_commands")
STARTS = ("head_start_ray_commands", "worker_start_ray_commands")
SPOT = {
    "aws": lambda node: node["InstanceMarketOptions"] == {"MarketType": "spot"},
    "gcp": lambda node: node["scheduling"][0]["provisioningModel"] == "SPOT",
}
#: what a unit has in its first section; all else is the service's
OF_UNIT = ("After", "StartLimitIntervalSec", "StartLimitBurst", "StartLimitAction")
SHELLCHECK = Path(sys.executable).with_name("shellcheck")
ANALYZE = shutil.which("systemd-analyze")


def read(cloud: str) -> dict[str, Any]:
    """The file of a cloud as Ray reads it."""
    loaded: dict[str, Any] = yaml.safe_load(FILES[cloud].read_text())
    return loaded


@pytest.fixture(params=FILES)
def cluster(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Each file as Ray reads it."""
    return read(request.param)


def units(cluster: dict[str, Any]) -> dict[str, list[str]]:
    """The words of each `systemd-run`, by what it runs: ray, up, join."""
    found = {}
    for command in (command for part in STARTS for command in cluster[part] if "systemd-run" in command):
        words = shlex.split(command)
        assert words[:2] == ["sudo", "systemd-run"]
        found["ray" if "ray start" in command else command.split("/framefarm ")[1].split()[0]] = words[2:]
    assert set(found) == {"ray", "up", "join"}
    return found


def keys_of(words: list[str]) -> dict[str, str]:
    """Return the values that `-p` sets."""
    given = [words[place + 1] for place, word in enumerate(words) if word == "-p"]
    return dict(pair.split("=", 1) for pair in given)


def test_ray_accepts_the_file(cluster: dict[str, Any]) -> None:
    """Ray's autoscaler fills in its defaults and finds no unknown key and no wrong type."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    filled = prepare_config(copy.deepcopy(cluster))
    validate_config(filled)  # raises where it finds any
    assert filled.keys() > cluster.keys()
    assert filled["available_node_types"].keys() == cluster["available_node_types"].keys()


def test_ray_would_refuse_a_typo(cluster: dict[str, Any]) -> None:
    """The check above is worth something: a misspelt key does not pass it."""
    from jsonschema import ValidationError
    from ray.autoscaler._private.util import prepare_config, validate_config

    cluster["available_node_types"]["l4"]["min_worker"] = 0
    with pytest.raises(ValidationError, match="min_worker"):
        validate_config(prepare_config(cluster))


@pytest.mark.parametrize("cloud", FILES)
def test_gpu_nodes_are_spot_and_say_their_vram_class(cloud: str) -> None:
    """Each GPU node type is bought at the spot price, has a worker a GPU, and a label of a class that there is."""
    types = {name: kind for name, kind in read(cloud)["available_node_types"].items() if "GPU" in kind["resources"]}
    assert types
    for kind in types.values():
        assert SPOT[cloud](kind["node_config"])
        assert kind["resources"][WORKER_RESOURCE] == kind["resources"]["GPU"]
        assert kind["labels"]["farm/vram-class"] in VRAM_CLASSES


def test_the_clouds_run_the_same_commands() -> None:
    """The file for Google Cloud goes with its elder: only what the head's autoscaler needs is added."""
    aws, gcp = read("aws"), read("gcp")
    for part in (*STEPS[:2], *STARTS):
        assert gcp[part] == aws[part]
    assert all("google-api" in command for command in gcp["head_setup_commands"])


def test_every_variable_that_ray_passes_reaches_the_unit(cluster: dict[str, Any]) -> None:
    """systemd-run starts with an empty environment, so a variable that is used is handed on by name."""
    for kind in ("ray", "join"):
        words = units(cluster)[kind]
        handed_on = {words[place + 1].split("=")[0] for place, word in enumerate(words) if word == "-E"}
        assert {"RAY_CLOUD_INSTANCE_ID", "RAY_NODE_TYPE_NAME", "RAY_OVERRIDE_LABELS", "RAY_AUTH_MODE"} <= handed_on
        assert "--block" in words or "join" in words
        assert keys_of(words)["KillMode"] == "mixed"


def test_the_farms_commands_are_real(cluster: dict[str, Any]) -> None:
    """The head runs the farm in that Ray, each node joins it; both with flags that there are."""
    for name in ("up", "join"):
        words = units(cluster)[name]
        rest = words[words.index(name) + 1 :]
        known = {flag for param in load_command(name).params for flag in (*param.opts, *param.secondary_opts)}
        assert {word for word in rest if word.startswith("--")} <= known
        first = {"up": ["--no-restart", "--ray", "127.0.0.1:6379"], "join": ["$RAY_HEAD_IP:6379", "--give-up-s", "900"]}
        assert rest[:3] == first[name]


def test_what_ends_by_itself_starts_again(cluster: dict[str, Any]) -> None:
    """All but a node that gave its head up, or cannot start: that one is powered off, and bought no longer.

    FailureAction would do so at each failure, as a booted systemd 252 showed.
    """
    kept = {name: keys_of(words) for name, words in units(cluster).items()}
    assert kept["ray"]["Restart"] == "always"
    assert kept["up"]["Restart"] == kept["join"]["Restart"] == "on-failure"
    assert kept["join"]["RestartPreventExitStatus"] == "3"  # deploy/node/join.py
    assert re.search(r"x\$\{EXIT_STATUS\} = x3; then systemctl poweroff;", kept["join"]["ExecStopPost"])
    assert kept["join"]["StartLimitAction"] == "poweroff"
    assert "FailureAction" not in kept["join"]
    burst, pause = int(kept["join"]["StartLimitBurst"]), int(kept["join"]["RestartSec"])
    assert burst * pause < int(kept["join"]["StartLimitIntervalSec"])  # a node that cannot start reaches the limit


@pytest.mark.skipif(ANALYZE is None, reason="no systemd here")
@pytest.mark.parametrize("name", ["ray", "up", "join"])
def test_systemd_knows_every_key_of_the_units(name: str, tmp_path: Path) -> None:
    """`systemd-run -p` takes a unit's keys. A misspelt one shows that `verify` would say so."""
    keys = keys_of(units(read("aws"))[name])
    of_unit = [f"{key}={value}" for key, value in keys.items() if key in OF_UNIT]
    service = [f"{key}={value}" for key, value in keys.items() if key not in OF_UNIT]
    path = tmp_path / f"{name}.service"

    def said(*more: str) -> str:
        lines = ["[Unit]", *of_unit, "[Service]", f"ExecStart={sys.executable}", *service, *more]
        path.write_text("\n".join(lines))
        done = subprocess.run([str(ANALYZE), "verify", str(path)], capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    assert said() == ""
    assert "RestartSecs" in said("RestartSecs=5")


def commands(cluster: dict[str, Any]) -> list[str]:
    """All commands of a file."""
    return [command for part in (*STEPS, *STARTS) for command in cluster.get(part, [])]


def check_shell(command: str) -> str:
    """Return shellcheck's findings in a command. SC2016: `$PATH` is for the profile to read."""
    words = [str(SHELLCHECK), "--shell=bash", "--exclude=SC2016", "-"]
    return subprocess.run(words, input=command + "\n", capture_output=True, text=True, check=False).stdout


def test_a_shell_finds_nothing_wrong() -> None:
    """Not in the commands, and not in those of the variants: EFS, and models from a bucket."""
    variant = re.findall(r"(?m)^#   - (.*)", FILES["aws"].read_text())
    assert len(variant) == 5
    for command in dict.fromkeys([*commands(read("aws")), *commands(read("gcp")), *variant]):
        assert check_shell(command) == "", command
    assert "SC2086" in check_shell("sudo systemd-run -E RAY_NODE_TYPE_NAME=$RAY_NODE_TYPE_NAME true")


def test_nothing_waits_for_ever(cluster: dict[str, Any]) -> None:
    """Each `until` is bounded, and apt waits for the first boot's own apt. `apt-get update` has no option for that."""
    for command in commands(cluster):
        assert command.count("until ") == len(re.findall(r"timeout 300 sh -c 'until ", command)), command
        for call in re.findall(r"apt-get ([^&|;]*)", command):
            assert "-o DPkg::Lock::Timeout=300" in call or ("update" in call and "until" in command)


def test_a_ray_that_does_not_start_ends_ray_up(cluster: dict[str, Any], tmp_path: Path) -> None:
    """The command that waits for Ray fails when its time is over, and shows Ray's log."""
    (wait,) = [command for command in cluster["head_start_ray_commands"] if "health-check" in command]
    for path, text in (("venv/bin/ray", "exit 1"), ("bin/sudo", 'echo "asked: $*"')):
        script = tmp_path / path
        script.parent.mkdir(parents=True, exist_ok=True)
        script.write_text(f"#!/bin/sh\n{text}\n")
        script.chmod(0o755)
    env = {"HOME": str(tmp_path), "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"}
    short = wait.replace("timeout 300", "timeout 0.2")
    done = subprocess.run(["bash", "-c", short], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "asked: journalctl --unit=farm-ray" in done.stdout
    (tmp_path / "venv/bin/ray").write_text("#!/bin/sh\n")
    assert subprocess.run(["bash", "-c", wait], env=env, check=False).returncode == 0
