"""Several variants in one request: the farm accepts the whole batch or nothing, even across crashes."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.contract import Artifact, Job, JobId, JobPlan
from farm.errors import StoreError
from farm.jobs import Jobs, Submission
from farm.jobs.batches import forget_batch
from farm.ledger.layout import batch_key
from farm.request import VideoRequest
from farm.store import FolderStore, Store
from tests.pages import read_page
from tests.unit.conftest import Hand
from tests.unit.farm.ingress.test_ingress import FILES, ask
from tests.unit.farm.jobs.test_jobs import Crash, deaths

HOUR = 3600.0


def batch(http: TestClient, /, *, key: str | None = None, **fields: str) -> dict[str, Any]:
    """Submit a batch and return its first video."""
    return ask(http, headers={"Idempotency-Key": key} if key else None, **fields)


def test_n_videos_differ_by_their_seed(http: TestClient, jobs: Jobs) -> None:
    """The answer is the first video. Each names all of them; a list of the batch shows them in order, by pages."""
    first = batch(http, n="3")
    ids = first["batch"]["videos"]
    assert (ids[0], len(set(ids))) == (first["id"], 3)
    videos = [http.get(f"/v1/videos/{id_}").json() for id_ in ids]
    assert len({video["seed"] for video in videos}) == 3
    assert all(video["batch"] == first["batch"] and video["status"] == "queued" for video in videos)
    ask(http)  # another, of no batch
    query = f"/v1/videos?batch={first['batch']['id']}"
    assert [video["id"] for video in http.get(query).json()["data"]] == ids[::-1]
    assert [video["id"] for video in http.get(f"{query}&order=asc").json()["data"]] == ids
    page = http.get(f"{query}&limit=2").json()
    rest = http.get(f"{query}&limit=2&after={page['last_id']}").json()
    assert (page["has_more"], [video["id"] for video in rest["data"]], rest["has_more"]) == (True, ids[:1], False)
    assert len({jobs.request(id_).inputs["start"].key for id_ in ids}) == 3  # each can be deleted by itself


def test_seeds_are_taken_as_they_are(http: TestClient) -> None:
    """Seeds may be JSON or text; `seed` and `n` count up from the seed; n=1 is no batch."""

    def seeds(video: dict[str, Any]) -> list[int]:
        return [http.get(f"/v1/videos/{id_}").json()["seed"] for id_ in video["batch"]["videos"]]

    assert seeds(batch(http, seeds="[7, 3]")) == [7, 3]
    assert seeds(batch(http, seed="40", n="2")) == [40, 41]
    assert batch(http, n="1", seed="5")["batch"] is None
    assert seeds(batch(http, seeds="[9]")) == [9]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"n": "0"}, "n"),
        ({"n": "17"}, "n"),
        ({"n": "two"}, "n"),
        ({"seeds": "[]"}, "seeds"),
        ({"seeds": "[-1]"}, "seeds.0"),
        ({"seeds": "[1, 1]"}, "seeds"),
        ({"seeds": "[1, 2]", "n": "3"}, "n"),
        ({"seeds": "[1, 2]", "seed": "3"}, "seeds"),
        ({"seeds": str(list(range(17)))}, "seeds"),
    ],
)
def test_bad_variants_are_named(http: TestClient, fields: dict[str, str], field: str) -> None:
    """The error names the field, and the farm stores nothing."""
    answer = http.post("/v1/videos", data={"prompt": "a cat", **fields}, files=FILES)
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, field)
    assert http.get("/v1/videos").json()["data"] == []


def test_the_same_key_gives_the_same_batch(http: TestClient, jobs: Jobs) -> None:
    """Another number of variants under the same key is a conflict. A deleted video of the batch stays deleted."""
    first = batch(http, n="3", key="k")
    assert batch(http, n="3", key="k")["batch"] == first["batch"]
    for fields in ({"n": "2"}, {}):
        other = http.post(
            "/v1/videos", data={"prompt": "a cat", **fields}, files=FILES, headers={"Idempotency-Key": "k"}
        )
        assert (other.status_code, other.json()["code"]) == (409, "conflict")
    gone = first["batch"]["videos"][2]
    jobs.wish(gone, "cancel", owner="local")
    jobs.delete(gone, owner="local")
    assert batch(http, n="3", key="k")["id"] == first["id"]
    assert http.get(f"/v1/videos/{gone}").status_code == 404
    listed = http.get(f"/v1/videos?batch={first['batch']['id']}").json()["data"]
    assert [video["id"] for video in listed] == first["batch"]["videos"][1::-1]


def test_a_batch_is_made_and_goes_with_its_last_video(http: TestClient, hand: Hand, jobs: Jobs) -> None:
    """Deleting the last video of a batch leaves nothing of it in the store."""
    first = batch(http, n="2", seconds="1")
    hand.finish()
    for id_ in first["batch"]["videos"]:
        assert http.get(f"/v1/videos/{id_}").json()["status"] == "completed"
        assert http.delete(f"/v1/videos/{id_}").status_code == 200
    assert jobs.store.list("batches/") == []
    assert http.get(f"/v1/videos?batch={first['batch']['id']}").status_code == 404


def test_anothers_batch_is_not_there(http: TestClient, jobs: Jobs, plan: JobPlan) -> None:
    """Another owner's batch is not found, just like a batch that never existed."""
    record = jobs.accept(
        Submission(VideoRequest(prompt="a", model="tiny"), plan, {}, "other", fingerprint="f", seeds=(1, 2))
    )
    assert record.job.batch
    for name in (record.job.batch.id, "batch_0", "../../x", "batch_" + "0" * 32):
        answer = http.get("/v1/videos", params={"batch": name})
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_a_dry_run_of_a_batch_counts_it(http: TestClient) -> None:
    """A dry run estimates all videos of the batch and stores nothing."""
    answer = http.post("/v1/videos?dry_run=1", data={"prompt": "a cat", "n": "4"}, files=FILES).json()
    assert (answer["object"], answer["videos"]) == ("video.estimate", 4)
    assert http.get("/v1/videos").json()["data"] == []


class Breaking(FolderStore):
    """A folder store whose process dies before one of its writes."""

    left = 10**9

    def put_if_absent(self, key: str, data: Any) -> bool:
        """Write, unless the process has died."""
        if self.left <= 0:
            raise StoreError("died")
        self.left -= 1
        return super().put_if_absent(key, data)


@given(writes=st.integers(0, 25), key=st.sampled_from([None, "k"]))
@settings(max_examples=60)
def test_a_crash_between_any_two_writes_leaves_all_or_none(
    tmp_path_factory: pytest.TempPathFactory, writes: int, key: str | None
) -> None:
    """After a sweep, every video of the batch is queued or none exists. The same key then gives one whole batch."""
    now = 1e9
    store = Breaking(tmp_path_factory.mktemp("s") / "storage")
    plan = JobPlan(
        kind="i2v", sections=1, latent_window_size=9, fps=30, height=96, width=128, frames=37, final_frames=(37,)
    )
    request = VideoRequest(prompt="a", model="tiny")

    def accept(jobs: Jobs) -> Any:
        new = Submission(request, plan, {"start": b"png"}, "o", fingerprint="f", idempotency_key=key, seeds=(1, 2, 3))
        return jobs.accept(new)

    store.left = writes
    try:
        accept(Jobs(store, clock=lambda: now))
        died = False
    except StoreError:
        died = True
    store.left = 10**9
    heir = Jobs(store, clock=lambda: now + 2 * HOUR)
    swept = [record for id_ in heir.open_ids() if (record := heir.sweep(id_))]
    there = read_page(heir, owner="o").records
    assert len(there) in {0, 3}
    assert len(there) == 3 or died
    assert {record.job.id for record in swept} == {record.job.id for record in there}
    later = Jobs(store, clock=lambda: now + 4 * HOUR)  # what was given up is forgotten after another hour
    for id_ in later.open_ids():
        later.sweep(id_)
    assert len(later.open_ids()) == len(there)
    if key:
        again = accept(heir)
        records = read_page(heir, owner="o", batch=again.job.batch.id).records
        assert [record.job.request.seed for record in records] == [3, 2, 1]
        assert len(read_page(heir, owner="o").records) == 3


def two(jobs: Jobs, plan: JobPlan) -> list[JobId]:
    """Make a batch of two cancelled videos."""
    request = VideoRequest(prompt="a", model="tiny")
    new = Submission(request, plan, {"start": b"png"}, "o", fingerprint="f", seeds=(1, 2))
    batch = jobs.accept(new).job.batch
    assert batch
    for id_ in batch.videos:
        jobs.wish(id_, "cancel", owner="o")
    return list(batch.videos)


def test_a_crash_while_deleting_the_last_video_leaves_no_batch(tmp_path: Path, plan: JobPlan) -> None:
    """After a crash between any two writes, the batch exists as long as its video does; sweeps remove the rest."""
    left = []
    for store, writes in deaths(tmp_path):
        jobs = Jobs(store)
        first, last = two(jobs, plan)
        jobs.delete(first, owner="o")
        store.left = writes
        with contextlib.suppress(Crash):
            jobs.delete(last, owner="o")
        store.left = 10_000
        heir = Jobs(store, clock=lambda: time.time() + HOUR + 1)
        for id_ in heir.open_ids():
            heir.sweep(id_)
        left.append(len(read_page(heir, owner="o").records))
        assert len(store.list("batches/")) == left[-1]
    assert set(left) == {0, 1}


def test_of_two_that_are_deleted_at_once_one_takes_the_batch(
    jobs: Jobs, plan: JobPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second deletion runs after the first one has looked for the other video, before it erases its own request."""
    first, other = two(jobs, plan)

    def look_then_sleep(store: Store, job: Job) -> None:
        forget_batch(store, job)
        monkeypatch.undo()
        jobs.delete(other, owner="o")

    monkeypatch.setattr("farm.jobs.erase.forget_batch", look_then_sleep)
    jobs.delete(first, owner="o")
    assert jobs.store.list("batches/") == []


def test_a_deleted_video_is_not_begun_again(http: TestClient, jobs: Jobs) -> None:
    """An hour later its ledger is gone, while the batch and a leftover marker are still there."""
    first = batch(http, n="2")
    id_ = first["batch"]["videos"][1]
    jobs.wish(id_, "cancel", owner="local")
    jobs.delete(id_, owner="local")
    at = jobs.ledger.entry(id_, 0).at
    late = Jobs(jobs.store, clock=lambda: at + 2 * HOUR)
    assert late.sweep(id_) is None
    jobs.store.put_if_absent(f"open/{id_}", json.dumps({"at": 0}).encode())
    for each in (jobs, late):
        assert each.sweep(id_) is None
    assert jobs.store.list(f"jobs/{id_}/") == []
    assert jobs.store.get(batch_key("local", first["batch"]["id"]))
    assert isinstance(jobs.request(first["id"]).inputs["start"], Artifact)
