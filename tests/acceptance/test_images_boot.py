"""deploy/systemd under a real systemd: what it does when a part of the farm dies, and when a setting is wrong.

The container is the image with systemd in it, booted by systemd-nspawn. The tests follow one farm.
"""

from __future__ import annotations

import contextlib

import httpx
import pytest

from farm.keys import new_key
from tests.farm_door import Door
from tests.images.booted import Booted
from tests.images.build import BOOT
from tests.images.machine import Machine
from tests.patience import wait_for

pytestmark = [pytest.mark.acceptance, pytest.mark.images]
UNIT = "framefarm"
KEY, ENTRY = new_key("ann")
SETTINGS = {"FARM_MODEL": "tiny", "FARM_WORKERS": "1", "FARM_CPU_THREADS": "1", "FARM_API_KEYS": ENTRY}


@pytest.fixture(scope="module")
def booted(box: Machine) -> Booted:
    """A booted container with the unit."""
    booted = Booted(box, BOOT, "desk")
    booted.boot()
    booted.install(UNIT, env=SETTINGS)
    booted.run("systemctl", "daemon-reload")
    return booted


@pytest.fixture(scope="module")
def farm(booted: Booted) -> Door:
    """Its farm, which starts with it from now on."""
    booted.run("systemctl", "enable", "--now", UNIT)
    farm = Door(booted.machine.host.client("http://127.0.0.1:8000", authorization=f"Bearer {KEY}"))
    await_ready(booted, farm, than="")
    return farm


@pytest.fixture(scope="module")
def undisturbed(farm: Door) -> bytes:
    """A video when nothing happens."""
    return farm.finished(farm.submit())


def main_pid(booted: Booted) -> str:
    """The process that systemd has started; "0" while it has none."""
    return booted.says("show", "--property=MainPID", "--value", UNIT)


def await_ready(booted: Booted, farm: Door, *, than: str) -> None:
    """Wait until another process than `than` is a farm that takes requests, with an idle worker."""

    def is_ready() -> bool | None:
        if main_pid(booted) in {"0", than}:
            return None
        with contextlib.suppress(httpx.TransportError):
            return (farm.http.get("/readyz").is_success and "idle" in (farm.workers() or {}).values()) or None
        return None

    try:
        wait_for(is_ready, seconds=120, what="a ready farm", pause_s=1)
    except AssertionError as err:
        raise AssertionError(f"{err}\n{booted.run('journalctl', '-n60', '--no-pager', '-u', UNIT)}") from err


def test_the_unit_starts_a_farm(booted: Booted, undisturbed: bytes) -> None:
    """As the user of the unit, with its folders where systemd made them."""
    assert undisturbed[4:8] == b"ftyp"
    assert 'Status: "ready http://127.0.0.1:8000"' in booted.says("status", UNIT)
    assert booted.run("stat", "-c", "%U", f"/proc/{main_pid(booted)}") == "framefarm"
    assert booted.run("ls", "/var/lib/framefarm/framepack-farm/storage")
    assert booted.run("ls", "/run/framefarm")


@pytest.mark.parametrize("victim", ["gcs_server", "raylet", "framefarm"])
def test_a_part_that_was_killed_ends_in_a_ready_farm(
    victim: str, booted: Booted, farm: Door, undisturbed: bytes
) -> None:
    """SIGKILL for Ray's programs or for `up` itself: the video ends with the same bits, and one farm is there."""
    before, video = main_pid(booted), farm.submit()
    farm.in_the_middle(video)
    pids = [before] if victim == "framefarm" else booted.pids(victim)
    assert pids
    booted.run("kill", "-KILL", *pids)
    await_ready(booted, farm, than=before)
    assert farm.finished(video) == undisturbed
    assert len(booted.pids("gcs_server")) == len(booted.pids("raylet")) == 1


def test_a_stop_drains_and_leaves_nothing(booted: Booted, farm: Door, undisturbed: bytes) -> None:
    """`systemctl stop` is no failure; the section is given back, and the next start goes on with it."""
    video = farm.submit()
    farm.in_the_middle(video)
    booted.run("systemctl", "stop", UNIT)
    assert booted.says("show", "--property=Result", "--value", UNIT) == "success"
    assert "action=given_back" in booted.run("journalctl", "--no-pager", "-u", UNIT)
    assert booted.run("pgrep", "-u", "framefarm", check=False) == ""
    booted.run("systemctl", "start", UNIT)
    await_ready(booted, farm, than="")
    assert farm.finished(video) == undisturbed


def test_a_reboot_brings_the_farm_back(booted: Booted, farm: Door, undisturbed: bytes) -> None:
    """In the middle of a section."""
    video = farm.submit()
    farm.in_the_middle(video)
    booted.reboot()
    await_ready(booted, farm, than="")
    assert farm.finished(video) == undisturbed


def test_a_wrong_setting_stops_after_a_few_tries(booted: Booted) -> None:
    """It gives up, and `systemctl status` has the message that names the setting."""
    booted.run("systemctl", "stop", UNIT)
    booted.install(UNIT, env=SETTINGS | {"FARM_LEASE_S": "soon"})
    booted.says("start", UNIT)  # which fails
    wait_for(lambda: booted.says("is-failed", UNIT) == "failed" or None, seconds=180, what="systemd to give up")
    assert "Status: \"FARM_LEASE_S='soon': need a number" in booted.says("status", "--lines=0", "--full", UNIT)
    said = booted.run("journalctl", "--no-pager", "--boot", "-u", UNIT)
    assert said.count("FARM_LEASE_S='soon': need a number") > 1
    assert "Start request repeated too quickly" in said
    assert 1 <= int(booted.says("show", "--property=NRestarts", "--value", UNIT)) <= 5
