"""The command line, from outside: its exit codes, what goes to stdout, and a Ctrl-C that loses nothing."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from deploy import cli
from deploy.planner import EngineMedia, EnginePlanner
from deploy.terminal.video_ids import short
from farm.contract import JobId
from farm.errors import NotFound
from farm.ingress import create_app
from farm.jobs import Jobs, Record
from farm.ledger.states import ErrorInfo, Event
from farm.request import VideoRequest
from farm.settings import FarmSettings
from tests.imports import ROOT
from tests.pages import read_page
from tests.unit.conftest import DispatcherHere, Hand, serving

CAT = str(ROOT / "examples" / "cat.jpg")
Accept = Callable[..., Record]
Out = pytest.CaptureFixture[str]


@pytest.fixture
def url(farm_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The farm of FARM_URL, and an empty folder to be in."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return farm_url


def when_asked(hand: Hand, jobs: Jobs, work: Callable[[], None]) -> threading.Thread:
    """Do `work` as soon as there is a video."""

    def run() -> None:
        while not (found := read_page(jobs, owner="local", limit=1, order="desc", status=None)[0]):
            time.sleep(0.01)
        hand.dispatcher.nudge(found[0].job.id)
        work()

    thread = threading.Thread(target=run, daemon=True)  # a test that fails does not wait for it
    thread.start()
    return thread


def test_every_request_field_is_a_flag_of_render_and_submit() -> None:
    """Made from the fields themselves; each says what it is for."""
    for name in ("render", "submit"):
        params = {param.name: param for param in cli.load_command(name).params}
        assert set(VideoRequest.model_fields) <= set(params)
        assert all(params[field].help for field in VideoRequest.model_fields)


def test_every_setting_is_a_flag_of_up() -> None:
    """Except those of the other end."""
    params = {param.name: param for param in cli.load_command("up").params}
    assert {"storage", "host", "port", "workers", "model", "lease_s"} <= set(params)
    assert params["port"].help == "Port to listen on. 0: any free port. (FARM_PORT, default 8000)"
    assert "url" not in params


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_the_list_of_commands_tells_the_truth(name: str) -> None:
    """The short line of a command, shown without loading it, begins as its own help does."""
    own = " ".join(cli.load_command(name).help.split())
    assert own.startswith(cli.COMMANDS[name][1].rstrip("."))


def test_help_loads_neither_torch_nor_ray_nor_pydantic() -> None:
    """That is why it is there at once."""
    code = "import sys; from deploy.cli import main; main(['--help']); print(sorted(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "render" in done.stdout
    for heavy in ("'torch'", "'ray'", "'pydantic'", "'httpx'"):
        assert heavy not in done.stderr


def test_render_prints_the_path_alone(url: str, hand: Hand, jobs: Jobs, capsys: Out) -> None:
    """The file is there, stdout is its path, and everything else is talk."""
    worker = when_asked(hand, jobs, hand.finish)
    assert cli.main(["render", CAT, "--prompt", "a cat", "--seconds", "3", "--seed", "7"]) == 0
    worker.join()
    out, err = capsys.readouterr()
    assert out == "cat.mp4\n"
    assert Path("cat.mp4").read_bytes() == b"mp4 bytes"
    assert "2.43 s, not 3 s: it has whole sections (73 frames of 160x96, seed 7, model tiny)" in err
    assert "section 2 of 2" in err


@pytest.mark.parametrize("chosen", [[], ["--model", "tiny"]])
def test_what_to_expect_of_a_model_that_nobody_chose_is_said(
    chosen: list[str], url: str, hand: Hand, jobs: Jobs, capsys: Out
) -> None:
    """In the farm's own words, and only if the user named no model."""
    worker = when_asked(hand, jobs, hand.finish)
    assert cli.main(["render", CAT, "--prompt", "a cat", *chosen]) == 0
    worker.join()
    talk = " ".join(capsys.readouterr().err.split())
    assert ("tiny is the default here: random weights" in talk) == (not chosen)


def test_a_video_that_fails_exits_1(url: str, hand: Hand, jobs: Jobs, capsys: Out) -> None:
    """And says why, on stderr."""

    def fail() -> None:
        (job,) = jobs.open_ids()
        jobs.ledger.append(job, Event(name="failed", error=ErrorInfo(code="nan", message="the picture is black")))

    worker = when_asked(hand, jobs, fail)
    assert cli.main(["render", CAT, "--prompt", "a cat"]) == 1
    worker.join()
    out, err = capsys.readouterr()
    assert out == ""
    assert "the picture is black (nan)" in err


def test_ctrl_c_pauses_and_the_same_command_goes_on(
    url: str, hand: Hand, jobs: Jobs, capsys: Out, tmp_path: Path
) -> None:
    """The same video, found by its image and flags; other flags are another video."""
    flags = ["render", CAT, "--prompt", "a cat", "-o", str(tmp_path / "out.mp4")]
    env = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[1])}
    heed = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); from deploy.cli import main; "
    command = [sys.executable, "-c", f"{heed}sys.exit(main())", *flags]  # a shell's background jobs ignore SIGINT
    process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE)
    assert process.stderr is not None
    for line in process.stderr:
        if b"queued" in line:
            break
    process.send_signal(signal.SIGINT)
    words = process.communicate()[1]
    assert (process.returncode, b"paused" in words) == (130, True)
    (job,) = jobs.open_ids()
    assert jobs.get(job, owner="local").head.state.status == "paused"

    def go_on() -> None:
        while jobs.get(job, owner="local").head.state.status == "paused":
            time.sleep(0.01)
        hand.dispatcher.nudge(job)
        hand.finish()

    worker = when_asked(hand, jobs, go_on)
    assert cli.main(flags) == 0
    worker.join()
    assert f"continuing {short(job)}" in capsys.readouterr().err
    assert len(read_page(jobs, owner="local", limit=9, order="desc", status=None)[0]) == 1


def test_submit_list_show_wishes_and_rm(url: str, hand: Hand, capsys: Out) -> None:
    """Ids go from one command to the next through stdout."""

    def run(*argv: str) -> str:
        assert cli.main(argv) == 0
        return capsys.readouterr().out

    first = run("submit", CAT, "--prompt", "a cat", "--name", "one", "--metadata", '{"a": 1}').strip()
    second = json.loads(run("submit", CAT, "--prompt", "a dog", "--json"))["id"]
    assert sorted(line.split("\t")[0] for line in run("list").splitlines()) == sorted([first, second])
    assert json.loads(run("list", "--json", "--limit", "1"))["has_more"] is True
    assert "status\tqueued" in run("show", first)
    assert json.loads(run("show", first, "--json"))["request"]["metadata"] == {"a": 1}
    assert run("pause", first, second) == f"{first}\tpaused\n{second}\tpaused\n"
    assert run("resume", first) == f"{first}\tqueued\n"
    assert json.loads(run("cancel", second, "--json"))[0]["status"] == "cancelled"
    assert run("retry", second) == f"{second}\tqueued\n"
    hand.finish()
    assert run("watch", first) == "completed\n"
    events = [json.loads(line) for line in run("watch", second, "--json").splitlines()]
    assert (events[0]["event"], events[-1]["event"]) == ("status", "end")
    assert run("fetch", first) == "one.mp4\n"
    assert run("fetch", first, "--variant", "poster") == "one.poster.webp\n"
    assert run("workers").startswith("hand\there\tCPU\tidle")
    assert "tiny" in run("models")
    assert cli.main(["rm", first, f"video_{'0' * 32}", second]) == 2
    assert capsys.readouterr().out == f"{first}\n"  # what was done is told
    assert run("rm", second) == f"{second}\n"
    assert run("list") == ""


def test_any_unique_beginning_of_an_id_is_taken(url: str, accept: Accept, jobs: Jobs, capsys: Out) -> None:
    """With or without `video_`, by every command; one that fits several, or none, is refused with what to do."""
    first, second = (accept().job.id for _ in range(2))
    digits = first.removeprefix("video_")
    alike = next(n for n in range(33) if digits[:n] != second.removeprefix("video_")[:n])
    for name in (digits[:alike], f"video_{digits[:9]}", digits, digits[:12].upper(), first):
        assert cli.main(["show", name, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["id"] == first
    assert cli.main(["pause", digits[:10]]) == 0
    assert cli.main(["edit", digits[:10], "--name", "a/b: c"]) == 0
    assert cli.main(["cancel", digits[:10]]) == 0
    assert cli.main(["list", "--after", second.removeprefix("video_")[:10]]) == 0
    assert first in capsys.readouterr().out
    assert cli.main(["rm", digits[:10]]) == 0
    jobs.wish(second, "cancel", owner="local")
    assert cli.main(["rm", "video_"]) == 2
    assert cli.main(["rm", second, digits[:10]]) == 2
    assert jobs.get(JobId(second), owner="local")  # all ids are known before the first video goes
    assert "no video whose id begins with" in capsys.readouterr().err
    found = [accept().job.id for _ in range(17)]  # of 17, two begin alike
    firsts = [id_.removeprefix("video_")[0] for id_ in found]
    twice = next(digit for digit in firsts if firsts.count(digit) > 1)
    assert cli.main(["rm", twice]) == 2
    assert "give more digits" in capsys.readouterr().err
    assert all(jobs.get(JobId(id_), owner="local") for id_ in found)


def test_an_estimate_stores_nothing(url: str, hand: Hand, capsys: Out) -> None:
    """`submit --dry-run`: what it would be, and a line for each worker that could make it."""
    hand.dispatcher.ask(hand.card)
    assert cli.main(["submit", CAT, "--prompt", "a cat", "--seconds", "2", "--n", "3", "--dry-run"]) == 0
    out, err = capsys.readouterr()
    assert "3 x 2.43 s (73 frames)" in err
    assert out.startswith("hand\tTrue\t")
    assert out.endswith(" s\tall resident\n")
    assert cli.main(["list"]) == 0
    assert capsys.readouterr().out == ""


def test_a_remix_may_keep_the_prompt(url: str, hand: Hand, capsys: Out) -> None:
    """Only what is set differs; oldest first shows where it came from before it."""

    def run(*argv: str) -> str:
        assert cli.main(argv) == 0
        return capsys.readouterr().out.strip()

    first = run("submit", CAT, "--prompt", "a cat", "--seconds", "2")
    other = run("remix", first, "--seed", "5")
    request = json.loads(run("show", other, "--json"))["request"]
    assert (request["prompt"], request["seed"], request["seconds"]) == ("a cat", 5, 2)
    assert [line.split("\t")[0] for line in run("list", "--order", "asc").splitlines()] == [first, other]


def test_several_variants_at_once(url: str, hand: Hand, jobs: Jobs, capsys: Out) -> None:
    """An id a line; `watch` follows them by the batch's id or by theirs, and fails where one of them does."""

    def run(*argv: str) -> str:
        assert cli.main(argv) == 0
        return capsys.readouterr().out

    ids = run("submit", CAT, "--prompt", "a cat", "--seconds", "1", "--seeds", "7,3,9").split()
    seeds = {video["id"]: video["seed"] for video in json.loads(run("list", "--json"))["data"]}
    assert [seeds[id_] for id_ in ids] == [7, 3, 9]
    first = json.loads(run("submit", CAT, "--prompt", "a cat", "--n", "2", "--seed", "40", "--json"))
    batch = first["batch"]
    assert run("list", "--batch", batch["id"]).count("\tqueued\t") == 2
    hand.finish()
    capsys.readouterr()
    assert run("watch", *ids) == "".join(f"{id_}\tcompleted\n" for id_ in ids)
    events = [json.loads(line) for line in run("watch", batch["id"], "--json").splitlines()]
    assert sorted(event["id"] for event in events if event["event"] == "end") == sorted(batch["videos"])
    jobs.ledger.append(JobId(ids[1]), Event(name="deleted"))
    assert cli.main(["watch", *ids]) == 2
    third = run("submit", CAT, "--prompt", "a cat", "--n", "2").split()
    run("cancel", third[1])
    hand.finish()
    capsys.readouterr()
    assert cli.main(["watch", *third]) == 1
    out, err = capsys.readouterr()
    assert out == f"{third[0]}\tcompleted\n{third[1]}\tcancelled\n"
    assert f"{short(third[1])} cancelled" in err


@pytest.mark.parametrize(
    "argv",
    [
        ["submit", CAT, "--prompt", "a", "--n", "17"],
        ["submit", CAT, "--prompt", "a", "--seeds", "1,two"],
        ["submit", CAT, "--prompt", "a", "--seeds", "1,1"],
        ["submit", CAT, "--prompt", "a", "--seeds", "1,2", "--seed", "3"],
        ["list", "--batch", "batch_0"],
        ["watch", "batch_0"],
        ["render", CAT],
        ["render", CAT, "--prompt", "a", "--seconds", "five"],
        ["render", CAT, "--prompt", "a", "--seconds", "-1"],
        ["render", CAT, "--prompt", "a", "--loras", "[{"],
        ["render", CAT, "--prompt", "a", "-o", "/nowhere/at/all.mp4"],
        ["render", "no-such.jpg", "--prompt", "a"],
        ["submit", __file__, "--prompt", "a"],
        ["show", "video_0"],
        ["show", "../../x"],
        ["frobnicate"],
        ["conformance", "/nowhere"],
    ],
)
def test_usage_errors_exit_2(url: str, capsys: Out, argv: list[str]) -> None:
    """With a word on stderr, nothing on stdout, and no trace."""
    assert cli.main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err
    assert "Traceback" not in err


def test_what_nobody_could_make_is_refused_when_asked(
    url: str, hand: Hand, jobs: Jobs, capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what is missing, how large it is and which command helps; a farm without workers may get one, and waits."""
    asked = ["submit", CAT, "--prompt", "a"]
    assert cli.main([*asked, "--model", "framepack-i2v", "--attention", "sage"]) == 0
    (waits,) = jobs.open_ids()
    jobs.wish(waits, "cancel", owner="local")
    hand.dispatcher.ask(hand.card.model_copy(update={"node": socket.gethostname()}))
    capsys.readouterr()
    for flags, said in (
        (("--model", "framepack-i2v"), r"model: about \d+ GB of the files of framepack-i2v are missing .*models pull"),
        (("--attention", "sage"), "attention: no worker has sage; there are sdpa"),
    ):
        for command in ("submit", "render"):
            assert cli.main([command, *asked[1:], *flags]) == 2
            assert re.search(said, " ".join(capsys.readouterr().err.split()))
    monkeypatch.delenv("FARM_URL")
    assert cli.main(["render", *asked[1:], "--model", "framepack-i2v", "--storage", "store"]) == 2
    assert "framepack-i2v needs a GPU, and none was found here" in capsys.readouterr().err
    assert cli.main(["render", *asked[1:], "--attention", "sage", "--storage", "store"]) == 2
    assert "attention: sage needs a GPU, and none was found here; use sdpa" in capsys.readouterr().err
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")  # with a GPU it is the default model
    assert cli.main(["render", *asked[1:], "--storage", "store"]) == 2
    assert "files of framepack-i2v are missing (`framefarm models pull" in " ".join(capsys.readouterr().err.split())
    assert jobs.open_ids() == [waits]
    assert not Path("store").exists()  # no farm was started


def test_files_that_came_after_the_workers_are_said(url: str, hand: Hand, jobs: Jobs, capsys: Out) -> None:
    """A worker without a GPU takes the models that it found when it began; a video would wait for ever."""
    hand.card = hand.card.model_copy(update={"models": ("tiny-f1",), "vram_gib": None, "node": socket.gethostname()})
    hand.dispatcher.ask(hand.card)
    assert cli.main(["submit", CAT, "--prompt", "a", "--model", "tiny"]) == 2
    assert "no worker takes tiny: its files are newer; restart the farm" in " ".join(capsys.readouterr().err.split())
    assert jobs.open_ids() == []


def test_a_worker_on_another_machine_has_files_of_its_own(url: str, hand: Hand, jobs: Jobs) -> None:
    """The head of a farm without workers of its own cannot tell what a machine that joined has on its disk."""
    hand.dispatcher.ask(hand.card.model_copy(update={"node": "a machine that joined"}))
    assert cli.main(["submit", CAT, "--prompt", "a", "--model", "framepack-i2v"]) == 0
    assert len(jobs.open_ids()) == 1


def test_a_default_model_without_its_files_is_refused_like_a_named_one(
    jobs: Jobs, door: DispatcherHere, hand: Hand, capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By `submit` and by `render`; they name the command that fetches the files."""
    settings = FarmSettings(model="framepack-i2v")
    app = create_app(settings=settings, jobs=jobs, door=door, planner=EnginePlanner(), media=EngineMedia())
    hand.dispatcher.ask(hand.card.model_copy(update={"node": socket.gethostname()}))
    with TestClient(app, base_url="http://127.0.0.1:8000") as client, serving(client) as port:
        monkeypatch.setenv("FARM_URL", f"http://127.0.0.1:{port}")
        for command in ("submit", "render"):
            assert cli.main([command, CAT, "--prompt", "a"]) == 2
            assert "framefarm models pull framepack-i2v" in capsys.readouterr().err
    assert jobs.open_ids() == []


def test_settings_errors_exit_2(monkeypatch: pytest.MonkeyPatch, capsys: Out, tmp_path: Path) -> None:
    """A misspelt variable, and no farm to talk to."""
    monkeypatch.setenv("FARM_STORAGE", str(tmp_path))
    monkeypatch.delenv("FARM_URL", raising=False)
    assert cli.main(["list"]) == 2
    assert "framefarm up" in capsys.readouterr().err
    monkeypatch.setenv("FARM_STORAG", "x")
    assert cli.main(["list"]) == 2
    assert "FARM_STORAG" in capsys.readouterr().err


def test_fetching_too_early_exits_1(url: str, accept: Accept, capsys: Out) -> None:
    """Nothing is written; the words say how far the video is."""
    assert cli.main(["fetch", accept().job.id]) == 1
    assert "0 of 2 sections" in capsys.readouterr().err
    assert not list(Path().iterdir())


def test_a_video_deleted_elsewhere_is_gone(url: str, accept: Accept, jobs: Jobs, capsys: Out) -> None:
    """The id is known no more."""
    record = accept()
    jobs.wish(record.job.id, "cancel", owner="local")
    assert cli.main(["rm", record.job.id]) == 0
    with pytest.raises(NotFound):
        jobs.get(record.job.id, owner="local")
    assert cli.main(["watch", record.job.id]) == 2
