"""The real engine makes artifacts that a store lost again, with the same bits; the farm names those it cannot make."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from deploy import cli
from farm.contract import JobId
from farm.jobs import Jobs
from farm.store import FolderStore
from framepack_engine import Models, Renderer
from tests.damage import cut, damage_all, digests, flip, named
from tests.engine_worker import Worker, submit
from tests.engine_worker import made as finished
from tests.unit.conftest import Hand

TINY = {"size": "64x64"}


@pytest.fixture
def worker(hand: Hand, tiny_models: Models) -> Worker:
    """A worker with the real engine."""
    return Worker(hand, Renderer(tiny_models))


@pytest.fixture
def repair(store: FolderStore, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, list[dict[str, Any]]]]:
    """`framefarm fsck` on that store: its exit status and its findings."""

    def repair(*flags: str) -> tuple[int, list[dict[str, Any]]]:
        capsys.readouterr()
        status = cli.main(["fsck", "--storage", str(store.root), "--json", *flags])
        return status, [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return repair


def test_all_that_a_finished_video_lost_comes_again(
    http: TestClient, worker: Worker, jobs: Jobs, store: FolderStore, repair: Any
) -> None:
    """Every object but the inputs is damaged: `fsck --repair` has all of them made again, bit for bit."""
    path = finished(http, worker, save_frames="all", **TINY)
    video = path.rpartition("/")[2]
    before, first = named(jobs, video), http.get(path).json()
    assert {name.partition(" ")[2] for name in before} == {
        *("conditioning", "section", "preview", "clip", "frames", "video", "thumbnail", "spritesheet")
    }
    damage_all(store.root, (key for key, _ in before.values()))
    answer = http.get(f"{path}/content?variant=latents")
    assert (answer.status_code, "framefarm fsck --repair" in answer.json()["detail"]) == (409, True)
    status, findings = repair()
    assert (status, {finding["cure"] for finding in findings}) == (1, {"framefarm fsck --repair"})
    assert repair("--repair")[0] == 0
    worker.dispatcher.sweep()
    assert http.get(path).json()["status"] == "queued"
    worker.work()
    assert digests(jobs, video) == {name: digest for name, (_, digest) in before.items()}
    last = http.get(path).json()
    same = ("status", "completed_at", "forwards", "numeric_classes", "error")
    assert {name: last[name] for name in same} == {name: first[name] for name in same}
    status, findings = repair()
    assert (status, {finding["kind"] for finding in findings}) in ((0, set()), (0, {"leftover"}))
    assert repair("--delete-dangling")[0] == 0
    assert repair() == (0, [])
    archive = http.get(f"{path}/export").content
    assert http.post("/v1/videos/import?new_id=true", content=archive).status_code == 200


def test_one_lost_object_costs_its_own_order(
    http: TestClient, worker: Worker, jobs: Jobs, store: FolderStore, repair: Any
) -> None:
    """Only the order that made it is done again; the mp4 can be fetched meanwhile."""
    path = finished(http, worker, save_frames="all", **TINY)
    video = path.rpartition("/")[2]
    before = digests(jobs, video)
    for name in ("finish thumbnail", "encode conditioning"):
        (store.root / named(jobs, video)[name][0]).unlink()
        assert repair("--repair")[0] == 0
        worker.dispatcher.sweep()
        assert http.get(f"{path}/content").status_code == 200
        seq = jobs.get(video, owner=None).head.seq
        worker.work()
        assert digests(jobs, video) == before
        later = list(jobs.ledger.following(JobId(video), seq))
        assert [entry.event.name for entry in later] == ["leased", "committed"]


def test_a_video_in_the_making_loses_all_it_has(http: TestClient, worker: Worker, jobs: Jobs, hand: Hand) -> None:
    """Its worker died, and the objects of both prompts are gone: the video ends as its undisturbed twin."""

    def two_prompts(*, lose: bool) -> dict[str, str]:
        path = submit(http, **TINY)
        video = JobId(path.rpartition("/")[2])
        for _ in ("encode", "section/0"):
            worker.runner.run(worker.dispatcher.ask(worker.card), lambda _step: None)  # type: ignore[arg-type]
            worker.dispatcher.nudge(video)
        http.post(f"{path}/pause")
        assert http.patch(path, json={"prompt": "a dog"}).status_code == 200
        if lose:
            for key, _ in named(jobs, video).values():
                (jobs.store.root / key).unlink()  # type: ignore[attr-defined]
            worker.runner.let_go()  # another process has nothing in memory
        http.post(f"{path}/resume")
        worker.work()
        answer = http.get(path).json()
        assert answer["status"] == "completed", answer["error"]
        assert jobs.get(video, owner=None).head.state.failures == ()
        found = digests(jobs, video)
        # the mp4 names its own video
        return {name: digest for name, digest in found.items() if not name.startswith("finish video")}

    assert two_prompts(lose=True) == two_prompts(lose=False)


def test_without_an_input_the_rest_is_named_and_kept(
    http: TestClient, worker: Worker, jobs: Jobs, store: FolderStore, repair: Any
) -> None:
    """The start image and the conditioning are gone: neither comes again, the mp4 stays, and a lost clip comes."""
    path = finished(http, worker, **TINY)
    video = path.rpartition("/")[2]
    before = named(jobs, video)
    start = jobs.get(video, owner=None).job.inputs["start"].key
    for key in (start, before["encode conditioning"][0]):
        (store.root / key).unlink()
    status, findings = repair("--repair")
    assert (status, {finding["key"] for finding in findings}) == (1, {start, before["encode conditioning"][0]})
    assert all("its mp4 is whole: fetch it" in finding["detail"] for finding in findings)
    assert all("backup" in finding["cure"] for finding in findings)
    assert http.get(path).json()["status"] == "completed"
    flip(store.root / before["finish video"][0])
    assert repair("--repair")[0] == 1
    worker.dispatcher.sweep()
    worker.work()
    assert digests(jobs, video)["finish video"] == before["finish video"][1]


def test_a_damaged_mp4_leaves_the_clips(
    http: TestClient, worker: Worker, jobs: Jobs, store: FolderStore, repair: Any
) -> None:
    """Until it is made again, `partial` gives the frames of the clips: once its length or `fsck` tells the damage."""
    path = finished(http, worker, **TINY)
    key, _ = named(jobs, path.rpartition("/")[2])["finish video"]
    whole = (store.root / key).read_bytes()
    for damage, flags in ((cut, ()), (flip, ("--repair",))):
        (store.root / key).write_bytes(whole)
        damage(store.root / key)
        repair(*flags)
        answer = http.get(f"{path}/content?variant=partial")
        assert (answer.status_code, answer.content[4:8]) == (200, b"ftyp")
        assert answer.content != whole
    (store.root / key).unlink()
    for method in ("GET", "HEAD"):
        assert http.request(method, f"{path}/content").status_code == 409
    assert http.get(f"{path}/content", headers={"Range": "bytes=0-3"}).json()["code"] == "damaged"


def test_a_damaged_embedding_is_made_again(
    http: TestClient, worker: Worker, jobs: Jobs, store: FolderStore, repair: Any
) -> None:
    """The next video with that prompt neither uses it nor fails, and puts it right for the one after."""

    def encoded() -> str:
        path = submit(http, **TINY)
        worker.runner.run(worker.dispatcher.ask(worker.card), lambda _step: None)  # type: ignore[arg-type]
        http.post(f"{path}/cancel")
        return digests(jobs, path.rpartition("/")[2])["encode conditioning"]

    first = encoded()
    stored = {key: (store.root / key).read_bytes() for key in store.list("embeddings/") if key.endswith(".safetensors")}
    flipped, *others = stored
    flip(store.root / flipped)
    for key in others:
        cut(store.root / key)
    assert [(finding["kind"], finding["key"]) for finding in repair()[1]] == [("leftover", flipped)]
    assert encoded() == first
    assert {key: (store.root / key).read_bytes() for key in stored} == stored
