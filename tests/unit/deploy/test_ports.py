"""FARM_PORTS: each of Ray's ports is in the range, and a range that cannot do is refused before Ray starts."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.node import join
from deploy.node.ports import check_free, ray_ports
from farm.errors import ConfigError
from farm.setting_types import parse_ports
from farm.settings import FarmSettings


def settings(ports: str) -> FarmSettings:
    """Of a machine with two workers and three ingresses."""
    return FarmSettings(ports=ports, workers="2", ingresses=3, node="den")


@pytest.mark.parametrize("is_head", [True, False])
def test_the_named_number_of_ports_is_enough(is_head: bool) -> None:
    """Too few are refused with a range that is then taken, and each port has one use."""
    with pytest.raises(ConfigError, match=r"FARM_PORTS=20000-20003 has 4 ports, but Ray needs \d+") as refused:
        ray_ports(settings("20000-20003"), is_head=is_head)
    wanted = str(refused.value).rpartition(" ")[2]
    ports = ray_ports(settings(wanted), is_head=is_head)
    assert ports
    assert sorted([*ports.programs.values(), *ports.processes]) == list(parse_ports(wanted))
    first, last = map(int, wanted.split("-"))
    with pytest.raises(ConfigError, match="Ray needs"):
        ray_ports(settings(f"{first}-{last - 1}"), is_head=is_head)


@pytest.mark.parametrize("text", ["20000", "20031-20000", "80-90", "70000-70010", "a-b"])
def test_what_is_no_range_is_refused(text: str) -> None:
    """By its name, with what it needs."""
    with pytest.raises(ConfigError, match=r"FARM_PORTS=.*FIRST-LAST"):
        FarmSettings(ports=text)


def test_the_farms_own_ports_stay_out_of_the_range() -> None:
    """Else Ray and the farm would take them from each other."""
    for name in ("port", "ray_port"):
        with pytest.raises(ConfigError, match=f"FARM_PORTS=20000-20031 contains FARM_{name.upper()}=20003"):
            FarmSettings(ports="20000-20031", **{name: 20003})


def test_a_port_that_another_program_has_is_named() -> None:
    """Ray would only say that it does not start."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ports = ray_ports(settings(f"{port - 11}-{port}"), is_head=False)
        with pytest.raises(ConfigError, match=r"port \d+ is not free"):
            check_free(ports)
    check_free(None)


def test_ray_knows_every_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    """`ray start` has a flag for each port that `join` names."""
    flags = join.ray_flags("127.0.0.1:1", settings("20000-20031"), [])
    known = subprocess.run(
        [str(Path(sys.executable).with_name("ray")), "start", "--help"], capture_output=True, text=True, check=True
    ).stdout
    named = [flag.partition("=")[0] for flag in flags if re.search(r"-ports?-?|worker-port-list", flag) and "=" in flag]
    assert len(named) == 7
    assert [flag for flag in named if flag not in known] == []


def test_a_head_takes_the_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    """`ray.init` has no argument for them; what it builds from its arguments has them."""
    from ray._private import parameter

    from actors.cluster import use_ports

    monkeypatch.setattr(parameter, "RayParams", parameter.RayParams)
    monkeypatch.delenv("RAY_prestart_worker_first_driver", raising=False)
    ports = ray_ports(settings("20000-20031"), is_head=True)
    assert ports
    use_ports(*ports)
    monkeypatch.delenv("RAY_prestart_worker_first_driver")
    made = parameter.RayParams(num_cpus=1, metrics_export_port=None)
    found = {
        *(made.node_manager_port, made.object_manager_port, made.runtime_env_agent_port, made.metrics_agent_port),
        *(made.dashboard_agent_listen_port, made.metrics_export_port),
    }
    assert found == set(ports.programs.values())
    assert str(made.worker_port_list) == ",".join(map(str, ports.processes))
