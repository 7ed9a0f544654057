"""framefarm doctor: what it finds on this machine, what it plans for a card, and that wrong things end it with 1."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from deploy import cli
from deploy.node import checks as doctor
from deploy.node.gpus import Gpu, describe_gpus
from deploy.planner import own_models
from farm.settings import FarmSettings
from framepack_engine.memory.ladder import GIB, choose_plan, largest_workload, size_of
from framepack_engine.memory.plan_book import PlanBook
from framepack_engine.models.catalog import CPU_MODEL
from framepack_engine.models.shelf import Models
from framepack_engine.models.weights import weights_of

Out = pytest.CaptureFixture[str]
ENTRY = own_models("")["framepack-i2v"]


@pytest.fixture(autouse=True)
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A storage that is not there yet, and a port that nobody has."""
    monkeypatch.setenv("FARM_STORAGE", str(tmp_path / "storage"))
    monkeypatch.setenv("FARM_PORT", "0")
    return tmp_path / "storage"


def ask(capsys: Out, *flags: str) -> tuple[int, dict[str, Any]]:
    """Exit code and what `doctor --json` says, its checks by name."""
    code = cli.main(["doctor", "--json", *flags])
    found = json.loads(capsys.readouterr().out)
    return code, found | {"checks": {check["name"]: check for check in found["checks"]}}


def test_a_machine_without_a_gpu_is_a_note(capsys: Out, storage: Path) -> None:
    """It is said, with what such a machine is for, and nothing is wrong; no folder is made."""
    code, found = ask(capsys)
    assert (code, found["ok"], found["plans"]) == (0, True, [])
    assert found["checks"]["gpu"]["state"] == "note"
    assert CPU_MODEL in found["checks"]["gpu"]["hint"]
    assert "libx264" in found["checks"]["video"]["value"]
    assert "to be made" in found["checks"]["storage"]["value"]
    assert not storage.exists()


def test_it_loads_neither_torch_nor_ray() -> None:
    """Where there is no GPU to be asked, it is there at once."""
    code = (
        "import sys; from deploy.cli import main; main(['doctor']); print('torch' in sys.modules, 'ray' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False False"


def test_plans_are_those_of_the_precision(capsys: Out) -> None:
    """12 GiB hold the step loop in 8 bits: the plan says so; without the flag it is that of bf16, which streams."""
    card = ("--device-gb", "12", "--host-gb", "64")
    plans = {
        precision: [row["plan"] for row in ask(capsys, *card, "--precision", precision)[1]["plans"]]
        for precision in ("bf16", "fp8")
    }
    assert all(plan.startswith("fp8, hoisted resident") for plan in plans["fp8"])
    assert any("streamed" in plan for plan in plans["bf16"])


def test_a_precision_without_its_package_is_wrong(capsys: Out, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where one is asked for that needs it; the hint has the command."""
    monkeypatch.setattr(doctor, "find_spec", lambda name: None if name == "torchao" else find_spec(name))
    code, report = ask(capsys, "--precision", "int8")
    assert (code, report["checks"]["precision"]["state"]) == (1, "wrong")
    assert "framepack-farm[precision]" in report["checks"]["precision"]["hint"]
    code, report = ask(capsys)
    assert (code, "precision" in report["checks"]) == (0, False)
    code, report = ask(capsys, "--precision", "int8", "--device-gb", "8", "--host-gb", "64")  # a card somewhere else
    assert (code, report["checks"]["precision"]["state"], report["ok"]) == (0, "note", True)
    assert report["plans"][0]["plan"].startswith("int8, ")


def test_it_says_which_attention_a_card_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    """By rule, card by card, or what the settings name; without a GPU there is nothing to choose."""
    cards = [Gpu(name, 24 * GIB, 24 * GIB, capability, "1") for name, capability in (("H", (9, 0)), ("A", (8, 9)))]
    monkeypatch.setattr(doctor, "_cudnn", lambda: 91_900)

    def said(settings: FarmSettings, gpus: list[Gpu]) -> list[str]:
        return [check.value for check in doctor.attention_checks(settings, gpus)]

    assert said(FarmSettings(), cards) == ["cudnn on H", "sdpa on A"]
    assert said(FarmSettings(attention="sdpa"), cards) == ["sdpa (FARM_ATTENTION)"]
    assert said(FarmSettings(), []) == []


def test_packed_weights_are_not_said_to_be_read_again() -> None:
    """A machine with less memory than the model has: what is packed lies in no file."""
    hints = [
        doctor.memory_check(size_of("framepack-i2v", precision), total=GIB, on_gpu=True).hint
        for precision in ("bf16", "int8")
    ]
    assert ["no file holds packed" in hint for hint in hints] == [False, True]


def test_a_machine_elsewhere_with_too_little_memory_gets_a_note(capsys: Out) -> None:
    """An L4 in a machine of 16 GiB has a plan, but reads the model from its disk again and again; 64 GiB do not."""
    notes = {
        memory: ask(capsys, "--device-gb", "22.35", "--host-gb", memory)[1]["checks"]["memory"]
        for memory in ("16", "64")
    }
    assert (notes["16"]["state"], notes["16"]["value"]) == ("note", "16.0 GiB")
    assert "when a stage begins, workers read what does not fit" in notes["16"]["hint"]
    assert (notes["64"]["state"], notes["64"]["hint"]) == ("ok", "")


def test_a_card_s_plans_are_the_planner_s(capsys: Out) -> None:
    """For each size and mode of decoding what a worker would choose, and what does not fit, with the way out."""
    code, found = ask(capsys, "--device-gb", "8", "--device-gb", "24", "--host-gb", "64", "--preserve-gb", "1")
    assert code == 0
    rows = {(row["device_gib"], row["size"], row["decode"]): row for row in found["plans"]}
    work = largest_workload(640)
    wanted = choose_plan(
        size_of("framepack-i2v"), work, device_bytes=8 * GIB, host_bytes=64 * GIB, preserve_bytes=1 * GIB
    )
    row = rows[8.0, "960x416", "framewise"]
    assert (row["section_gib"], row["copied_gb"]) == (
        round(wanted.section_bytes / GIB, 1),
        round(wanted.streamed_bytes / 1e9, 2),
    )
    assert wanted.words.startswith(row["plan"])
    assert row["decode_fits"] is wanted.decodes is False
    assert "decode=tiled" in row["why"]
    tiled = rows[24.0, "960x416", "tiled"]
    book = PlanBook(size=size_of("framepack-i2v"), device_bytes=24 * GIB, host_bytes=64 * GIB, preserve_bytes=1 * GIB)
    asked = replace(work, decode="tiled", tile_px=book.tile_px(replace(work, decode="tiled", tile_px=None)))
    assert (tiled["decode_fits"], tiled["tile_px"], row["tile_px"]) == (True, asked.tile_px, None)
    assert tiled["decode_gib"] == round(book.plan(asked).decode_bytes / GIB, 1)
    assert len({size for _, size, _ in rows}) == 3


def test_it_says_which_precision_copies_less(capsys: Out) -> None:
    """The first that streams nothing, else the one that copies least; a line a size, and none where nothing is won."""
    cards = ("--device-gb", "6", "--device-gb", "12", "--device-gb", "24", "--device-gb", "1.5")
    assert cli.main(["doctor", *cards, "--host-gb", "64"]) == 1
    said = capsys.readouterr().out.splitlines()
    assert [said[said.index(f"a card of {card} GiB") + 1] for card in ("6", "12", "24")] == [
        "  960x416  works with --decode tiled, peak 4.4 GiB. Faster: FARM_PRECISION=int4",
        "  960x416  works, peak 10.9 GiB. Faster: FARM_PRECISION=fp8",
        "  960x416  works, peak 18.9 GiB",
    ]
    assert said[said.index("a card of 1.5 GiB") + 1].startswith("  960x416  does not fit: it needs 2.9 GiB of device")
    assert cli.main(["doctor", "--device-gb", "6", "--verbose"]) == 0
    assert "hoisted, 55 of 60 blocks streamed" in capsys.readouterr().out
    for precision, card, host, wanted in (
        ("bf16", "6", "16", "FARM_PRECISION=int4"),  # 8 bits have no home there
        ("int8", "8", "64", "FARM_PRECISION=int4"),
        ("int4", "6", "64", ""),
        ("fp8", "12", "64", ""),
    ):
        rows = ask(capsys, "--precision", precision, "--device-gb", card, "--host-gb", host)[1]["plans"]
        assert rows[0]["hint"].partition(" ")[0] == wanted
        assert ("from file" in rows[0]["hint"]) == (host == "16")


def test_it_says_which_precision_has_a_plan_at_all(capsys: Out) -> None:
    """A size for which whole weights leave a small card no room is told with the format that does; none where none."""
    for card, host, wanted in (("3.5", "64", "fp8"), ("3.5", "16", "int4"), ("1.5", "64", "")):
        row = ask(capsys, "--device-gb", card, "--host-gb", host)[1]["plans"][0]
        assert row["plan"] is None
        assert row["hint"].partition(" has a plan")[0] == (wanted and f"FARM_PRECISION={wanted}")


def test_a_card_that_holds_no_plan_is_wrong(capsys: Out) -> None:
    """Exit 1, and what it would take."""
    code, found = ask(capsys, "--device-gb", "1.5")
    assert (code, found["ok"]) == (1, False)
    assert all(row["plan"] is None and "at least" in row["why"] for row in found["plans"])


def test_a_storage_that_cannot_be_is_wrong(capsys: Out, storage: Path) -> None:
    """A file where the folder should be; the check is the one that `up` makes."""
    storage.write_text("I am a file")
    code, found = ask(capsys)
    assert code == 1
    assert found["checks"]["storage"]["state"] == "wrong"
    code, found = ask(capsys, "--storage", str(storage.parent))
    assert (code, found["checks"]["storage"]["state"]) == (0, "ok")


def test_a_port_that_is_taken_is_wrong(capsys: Out, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the flag that chooses another."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        monkeypatch.setenv("FARM_PORT", str(other.getsockname()[1]))
        code, found = ask(capsys)
    assert code == 1
    assert "--port" in found["checks"]["port"]["hint"]


def test_a_gpu_that_torch_cannot_use_is_wrong() -> None:
    """The torch here has no CUDA: a machine with a GPU would be told; and what is older than Ampere is a note."""
    assert describe_gpus([]) == []
    if doctor.torch_cuda() is not None:
        pytest.skip("this torch has CUDA")
    old = Gpu("RTX 2070", 8 * GIB, 7 * GIB, (7, 5), "550.54")
    checks = list(doctor.examine(FarmSettings.from_env(), [old], model=ENTRY, memory=GIB))
    states = {check.name: check for check in checks}
    assert states["gpu"].state == "note"
    assert "8.0 GiB, 7.0 free" in states["gpu"].value
    assert states["cuda"].state == "wrong"
    assert "build of torch for CUDA" in states["cuda"].hint


def test_packages_of_other_versions_are_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """Named, with what was wanted; what only another platform needs is not asked for."""
    needs = ["torch<1", "no-such-package>=3", 'nothing-either; sys_platform == "win32"', "ray>=2"]
    monkeypatch.setattr(doctor, "requires", lambda _: needs)
    check = next(
        c for c in doctor.examine(FarmSettings.from_env(), [], model=ENTRY, memory=GIB) if c.name == "packages"
    )
    assert check.state == "wrong"
    assert check.hint.startswith("torch is 2")
    assert "no-such-package is missing" in check.hint
    assert "nothing-either" not in check.hint


def test_the_size_of_a_model_is_that_of_its_weights(tiny_models: Models) -> None:
    """`doctor` compares the room on a disk and in memory with this size."""
    parts = ("transformer", "vae", "text_encoder", "text_encoder_2", "image_encoder")
    real = sum(t.nbytes for t in weights_of(getattr(tiny_models, part) for part in parts))
    assert doctor.weights_bytes(size_of("tiny")) == pytest.approx(real, rel=0.01)
