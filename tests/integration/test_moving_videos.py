"""Videos move between a folder and a bucket, and fsck checks a bucket."""

from __future__ import annotations

import io
import tempfile
import time
from pathlib import Path
from uuid import uuid4

from deploy.planner import EngineMedia, EnginePlanner
from farm.contract import JobId
from farm.dispatch.dispatcher import Dispatcher
from farm.intake.prepare import Tools
from farm.jobs import Jobs, Record, Submission
from farm.jobs.fsck import DAY_S, Checker
from farm.request import VideoRequest
from farm.settings import FarmSettings
from farm.store import Store
from farm.transfer.exchange import import_video, read_arrived, snapshot
from framefarm_client.archive import pack, unpack
from tests.s3_servers import BUCKET, Place
from tests.unit.conftest import Hand

TOOLS = Tools(FarmSettings(), EnginePlanner(), EngineMedia())


def moved(video: JobId, here: Jobs, there: Jobs) -> Record:
    """Export the video and import it into the other store."""
    archive = b"".join(pack(*snapshot(here, here.get(video, owner=None))))
    with tempfile.TemporaryDirectory() as name:
        manifest = unpack(io.BytesIO(archive), Path(name))
        return import_video(read_arrived(manifest, Path(name), owner="local", new_id=False), there, TOOLS)


def asked(jobs: Jobs, png: bytes) -> Record:
    """Accept a video of two sections, as the ingress does."""
    fields = {"prompt": "a cat", "model": "tiny", "seed": 1, "seconds": 2.4, "size": "128x96"}
    request = VideoRequest.model_validate(fields)
    request, plan = TOOLS.planner.settle(request, image_size=None)
    return jobs.accept(Submission(request, plan, {"start": png}, "local", fingerprint="a"))


def objects(store: Store, video: JobId) -> dict[str, bytes]:
    """Return the video's objects except its ledger."""
    keys = [key for key in store.list(f"jobs/{video}/") if "/log/" not in key]
    return {key: store.get(key) for key in keys}


def found(store: Store, *, grace_s: float = 0.0) -> list[tuple[str, str]]:
    """Return (kind, key) of all findings."""
    checker = Checker(store, now=time.time() + 60, grace_s=grace_s)
    return [(finding.kind, finding.key) for finding in checker.findings()]


def test_from_a_folder_to_a_bucket_and_back(tmp_path: Path, ministack_endpoint: str, png: bytes) -> None:
    """Half a video moves to the bucket, is finished there, and moves back whole to a third farm."""
    bucket = Place(f"s3://{BUCKET}/moving/{uuid4().hex}", ministack_endpoint)
    first, second, third = (
        Jobs(place.open()) for place in (Place(str(tmp_path / "1")), bucket, Place(str(tmp_path / "3")))
    )
    video = asked(first, png).job.id
    hand = Hand(first, Dispatcher(first, FarmSettings()))
    hand.commit(hand.take(), conditioning=b"c")
    hand.commit(hand.take(), section=b"s" * 5000, preview=b"p")
    assert moved(video, first, second).head.state.sections == (4,)
    assert objects(second.store, video) == {
        key: data for key, data in objects(first.store, video).items() if not key.endswith("request.json")
    } | {f"jobs/{video}/request.json": second.store.get(f"jobs/{video}/request.json")}
    Hand(second, Dispatcher(second, FarmSettings())).finish()
    assert moved(video, second, third).head.state.status == "completed"
    assert objects(third.store, video) == objects(second.store, video)
    for jobs in (first, second, third):
        assert found(jobs.store) == []


def test_a_bucket_is_checked_as_a_folder_is(ministack_endpoint: str, png: bytes) -> None:
    """The check finds missing, damaged and dangling objects; the bucket's own clock gives their age."""
    store = Place(f"s3://{BUCKET}/checked/{uuid4().hex}", ministack_endpoint).open()
    jobs = Jobs(store)
    record = asked(jobs, png)
    Hand(jobs, Dispatcher(jobs, FarmSettings())).finish()
    assert found(store) == []
    start, conditioning = record.job.inputs["start"].key, f"jobs/{record.job.id}/conditioning.encode.a1"
    for key in (start, conditioning):
        store.delete(key)
    store.put_if_absent(start, b"another")
    litter = f"jobs/{record.job.id}/clips/0000.a99.mp4"
    store.put_if_absent(litter, b"x")
    assert abs(store.modified(litter) - time.time()) < 60
    assert sorted(found(store)) == [("damaged", start), ("dangling", litter), ("missing", conditioning)]
    assert sorted(found(store, grace_s=DAY_S)) == [("damaged", start), ("missing", conditioning)]
