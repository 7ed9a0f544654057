"""ray_cluster.yaml is what Ray's own autoscaler accepts, as far as that can be told offline."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
import yaml

from actors.cluster import WORKER_RESOURCE
from deploy.cli import load_command
from deploy.node.local import RAY_ENV
from farm.setting_types import VRAM_CLASSES
from tests.imports import ROOT

FILE = ROOT / "ray_cluster.yaml"


@pytest.fixture
def cluster() -> dict[str, Any]:
    """The file as Ray reads it."""
    loaded: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return loaded


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


def test_gpu_nodes_are_spot_and_say_their_vram_class(cluster: dict[str, Any]) -> None:
    """Each GPU node type is bought at the spot price, has a worker, and a label of a class that there is."""
    types = {name: kind for name, kind in cluster["available_node_types"].items() if "GPU" in kind["resources"]}
    assert types
    for kind in types.values():
        assert kind["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
        assert kind["resources"][WORKER_RESOURCE] == 1
        assert kind["labels"]["farm/vram-class"] in VRAM_CLASSES


def test_serve_looks_after_its_proxy_as_in_a_farm_of_one_machine(cluster: dict[str, Any]) -> None:
    """The farm cannot set this in a cluster that runs already, so the file does."""
    (start,) = [command for command in cluster["head_start_ray_commands"] if "ray start" in command]
    wanted = {f"-E {name}={value}" for name, value in RAY_ENV.items() if name.startswith("RAY_SERVE_")}
    assert wanted
    assert [setting for setting in wanted if setting not in start] == []


def test_every_variable_that_ray_passes_reaches_the_unit(cluster: dict[str, Any]) -> None:
    """systemd-run starts with an empty environment, so a variable that is used is handed on by name."""
    for commands in (cluster["head_start_ray_commands"], cluster["worker_start_ray_commands"]):
        start = next(command for command in commands if "ray start" in command or "framefarm join" in command)
        handed_on = set(re.findall(r"-E (\w+)=", start))
        assert {"RAY_CLOUD_INSTANCE_ID", "RAY_NODE_TYPE_NAME", "RAY_OVERRIDE_LABELS", "RAY_AUTH_MODE"} <= handed_on
        assert "--block" in start or "join" in start
        assert "KillMode=mixed" in start


def test_the_farms_commands_are_real(cluster: dict[str, Any]) -> None:
    """The head runs the farm in that Ray, each node joins it; both with flags that there are."""
    found = {}
    for command in (*cluster["head_start_ray_commands"], *cluster["worker_start_ray_commands"]):
        if match := re.search(r"/framefarm (\w+) (.*)", command):
            found[match[1]] = match[2].split()
    assert set(found) == {"up", "join"}
    for name, words in found.items():
        known = {flag for param in load_command(name).params for flag in param.opts}
        assert {word for word in words if word.startswith("--")} <= known
    assert found["up"][:2] == ["--ray", "127.0.0.1:6379"]
    assert found["join"] == ["$RAY_HEAD_IP:6379"]
