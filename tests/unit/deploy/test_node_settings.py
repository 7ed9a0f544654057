"""A machine's facts about itself: GPUs, stages, memory class, name."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.worker.device import describe_device
from deploy.node.gpus import chosen_gpus
from farm.contract import Stage
from farm.errors import ConfigError
from farm.setting_types import VRAM_CLASSES, vram_class
from farm.settings import NODE_SETTINGS, FarmSettings


@pytest.mark.parametrize(
    ("gib", "name"),
    [
        (5.8, "v6"),
        (7.6, "v8"),
        (11.6, "v12"),
        (15.7, "v16"),
        (22.0, "v24"),
        (23.6, "v24"),
        (44.4, "v48"),
        (79.1, "v80"),
        (139.8, "v141"),
        (39.4, "v24"),
        (3.9, None),
    ],
)
def test_cards_fall_into_the_class_that_they_are_sold_as(gib: float, name: str | None) -> None:
    """Cards report less than the number on the box, and still belong to their class; 40 GB are at least 24."""
    assert vram_class(gib) == name


@given(less=st.floats(0, 300), more=st.floats(0, 300))
def test_more_memory_is_never_a_smaller_class(less: float, more: float) -> None:
    """The classes are in order."""
    less, more = sorted((less, more))
    order = [None, *VRAM_CLASSES]
    assert order.index(vram_class(less)) <= order.index(vram_class(more))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gpus", "0,0"),
        ("gpus", "first"),
        ("stages", "decode,paint"),
        ("hours", "all day"),
        ("preserve_gb", -1.0),
        ("vram_class", "v7"),
        ("node", "-x"),
        ("node", "a/b"),
        ("node", "x" * 41),
        ("ray", "here"),
        ("ray_port", 70000),
        ("workers", "-1"),
        ("workers", "many"),
    ],
)
def test_impossible_values_are_refused_by_name(name: str, value: object) -> None:
    """Each error names the variable."""
    with pytest.raises(ConfigError, match=f"FARM_{name.upper()}"):
        FarmSettings(**{name: value})


def test_a_node_speaks_for_itself_and_takes_the_rest_from_the_farm() -> None:
    """Of a machine's environment only what may differ from machine to machine counts, parsed as settings are."""
    farm = FarmSettings(lease_s=20.0, stages="encode", cpu_threads=8)
    here = farm.on_node({"FARM_STAGES": "decode,finish", "FARM_CPU_THREADS": "2", "FARM_LEASE_S": "99", "PATH": "x"})
    assert (here.stages, here.cpu_threads, here.lease_s) == ("decode,finish", 2, 20.0)


def test_a_nodes_settings_survive_the_environment() -> None:
    """Workers read the same settings that `join` writes for them."""
    node = FarmSettings(stages="decode", hours="22:00-07:00", preserve_gb=1.5, vram_class="v24", node="den")
    names = ("stages", "hours", "preserve_gb", "vram_class", "node")
    read = FarmSettings().on_node(node.to_env(names))
    assert [getattr(read, name) for name in names] == [getattr(node, name) for name in names]


def test_what_a_machine_leaves_unset_is_unset_there() -> None:
    """The farm's machine limits its memory, its hours and its stages, and names a server; one that joins does not."""
    farm = FarmSettings(
        hours="22:00-07:00",
        stages="section",
        device_gb=12.0,
        vram_class="v12",
        text_encoder_device="cpu",
        s3_endpoint="http://127.0.0.1:7480",
    )
    joins = FarmSettings(storage="s3://bucket/farm", node="den")
    here = farm.on_node(joins.to_env(NODE_SETTINGS))
    assert {name: getattr(here, name) for name in NODE_SETTINGS} == {
        name: getattr(joins, name) for name in NODE_SETTINGS
    }


def test_an_empty_value_is_none() -> None:
    """As compose files and units write what is not set; where a setting has no such state it is an error by name."""
    read = FarmSettings.from_env({"FARM_DEVICE_GB": "", "FARM_KEEP_DAYS": "", "FARM_URL": "", "FARM_HOURS": ""})
    assert read == FarmSettings()
    with pytest.raises(ConfigError, match="FARM_PORT=''"):
        FarmSettings.from_env({"FARM_PORT": ""})


def test_the_chosen_gpus_are_those_that_are_visible_and_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    """FARM_GPUS picks among those that CUDA_VISIBLE_DEVICES leaves; one that is hidden is refused by name."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,3,5")
    assert chosen_gpus(FarmSettings()) == ["1", "3", "5"]
    assert chosen_gpus(FarmSettings(gpus="5,1")) == ["5", "1"]
    with pytest.raises(ConfigError, match="no GPU 2"):
        chosen_gpus(FarmSettings(gpus="1,2"))


def test_a_worker_declares_what_its_machine_allows() -> None:
    """Stages, class and hours stand on the worker's card."""
    settings = FarmSettings(stages="finish,decode", vram_class="v12", hours="22:00-07:00", cpu_threads=1)
    card = describe_device("w-0.a", node="den", settings=settings)
    assert (card.node, card.stages, card.vram_class) == ("den", ("decode", "finish"), "v12")
    assert card.hours == "22:00-07:00"
    assert describe_device("w-0.a", node="den", settings=FarmSettings(cpu_threads=1)).stages == get_args(Stage)
