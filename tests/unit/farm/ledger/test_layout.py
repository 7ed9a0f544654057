"""farm/ledger/layout.py owns every key: what it makes it reads back, and nobody else spells one out."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from farm.contract import Job, JobId, JobPlan
from farm.ledger import layout as at
from farm.request import VideoRequest
from framefarm_client.names import is_key
from tests.imports import ROOT

JOB = JobId(f"video_{'0a' * 16}")
TOP = (
    "jobs",
    "open",
    "hooks",
    "imports",
    "owners",
    "idempotency",
    "batches",
    "embeddings",
    "presets",
    "dispatcher",
    "workers",
)
A_KEY = re.compile(rf"(({'|'.join(TOP)}|log|probe)/|(request|webhook)\.json$)")
OWNERS = {Path("farm/ledger/layout.py"), Path("farm/store/probe.py")}
SOURCES = [path.relative_to(ROOT) for top in ("farm", "actors", "deploy", "lab") for path in (ROOT / top).rglob("*.py")]


def a_job(*, created_ms: int = 1_790_000_000_123) -> Job:
    """Return a video of the owner "alice"."""
    plan = JobPlan(
        kind="i2v", sections=1, latent_window_size=9, height=64, width=64, frames=33, final_frames=(33,), fps=30
    )
    request = VideoRequest.model_validate({"prompt": "a"})
    return Job(id=JOB, owner="alice", created_ms=created_ms, request=request, plan=plan, inputs={})


def test_keys_are_those_of_earlier_stores() -> None:
    """Stores already written hold these names."""
    video = f"jobs/{JOB}"
    assert [
        at.request_key(JOB),
        at.receiver_key(JOB),
        at.input_key(JOB, "start"),
        at.input_key(JOB, "source"),
        at.copy_key(JOB, "inputs", "end", "jobs/x/inputs/end.png"),
        at.copy_key(JOB, "shared", "section/0", "jobs/x/sections/0000.a2.safetensors"),
        at.entry_key(JOB, 17),
        at.artifact_key(JOB, "clips/0003.a{}.mp4", attempt=10),
        at.outcome_key(JOB, 17, "request"),
        f"{at.uses_folder(JOB)}ff",
        at.marker_key(JOB),
        at.marker_key(JOB, "b" * 32),
        at.hook_key(JOB, 17, "farm"),
        at.import_key(JOB),
        at.index_key(a_job()),
        at.claim_key("alice", "k"),
        at.batch_key("alice", "batch_1"),
        at.presets_key("alice", 7),
        str(at.FileKey("alice", "f" * 64, 1_790_000_000_123, 1_790_086_400_123)),
        at.embedding_key("ff"),
        at.use_key("ff", JOB),
        at.epoch_key(3),
        at.leave_key("paused", "node-0"),
    ] == [
        f"{video}/request.json",
        f"{video}/webhook.json",
        f"{video}/inputs/start.png",
        f"{video}/inputs/source.video",
        f"{video}/inputs/end.png",
        f"{video}/shared/section-0.safetensors",
        f"{video}/log/00000017.json",
        f"{video}/clips/0003.a10.mp4",
        f"{video}/hooks/00000017.request.json",
        f"{video}/embeddings/ff",
        f"open/{JOB}",
        f"open/{JOB}.{'b' * 32}",
        f"hooks/{JOB}.00000017.farm",
        f"imports/{JOB}",
        f"owners/alice/8209999999876_{JOB}",
        "idempotency/alice/8254c329a92850f6d539dd376f4816ee2764517da5e0235514af433164480d7a",
        "batches/alice/batch_1.json",
        "presets/alice/00000007.json",
        f"files/alice/{'f' * 64}/1790000000123-1790086400123",
        "embeddings/ff.safetensors",
        f"embeddings/ff/{JOB}",
        "dispatcher/00000003",
        "workers/paused/node-0",
    ]


def test_what_is_made_is_read_back() -> None:
    """Each kind of key that the farm parses gives back what it was made of."""
    assert at.parse_entry(at.entry_key(JOB, 17)) == 17
    assert at.parse_marker(at.marker_key(JOB)) == at.parse_marker(at.marker_key(JOB, "b" * 32)) == JOB
    key = at.hook_key(JOB, 17, "farm")
    assert at.parse_hook(key) == (key, JOB, 17, "farm")
    assert at.parse_import(at.import_key(JOB)) == JOB
    assert at.parse_index(at.index_key(a_job())) == (a_job().created_ms, JOB)
    assert at.parse_embedding(at.embedding_key("ff")) == ("ff", "")
    assert at.parse_embedding(at.use_key("ff", JOB)) == ("ff", JOB)
    file = at.FileKey("alice", "f" * 64, 1_790_000_000_123, 1_790_086_400_123)
    assert at.parse_file(str(file)) == file
    assert at.parse_epoch(at.epoch_key(123_456_789)) == 123_456_789
    newer, older = at.index_key(a_job(created_ms=2)), at.index_key(a_job(created_ms=1))
    assert newer < older


@pytest.mark.parametrize(
    "key", ["", "open/", "jobs/x/log/1.json", f"open/{JOB}.x", f"hooks/{JOB}.1.you", "owners/a/1_x"]
)
def test_other_keys_are_not_taken_for_one(key: str) -> None:
    """A foreign object in a bucket is nobody's marker, entry or index line."""
    parsers = (at.parse_entry, at.parse_marker, at.parse_hook, at.parse_import, at.parse_index, at.parse_embedding)
    assert [parse(key) for parse in parsers] == [None] * len(parsers)


def test_every_folder_is_listed_by_its_prefix() -> None:
    """A LIST of the prefix finds the keys; every key is one that a store takes."""
    for prefix, key in [
        (at.VIDEOS, at.request_key(JOB)),
        (at.video_folder(JOB), at.receiver_key(JOB)),
        (at.log_folder(JOB), at.entry_key(JOB, 0)),
        (at.OPEN_MARKERS, at.marker_key(JOB, "b" * 32)),
        (at.HOOKS, at.hook_key(JOB, 0, "farm")),
        (at.IMPORTS, at.import_key(JOB)),
        (at.INDEX, at.index_folder("alice")[:-1]),
        (at.index_folder("alice"), at.index_key(a_job())),
        (at.CLAIMS, at.claim_key("alice", "k")),
        (at.BATCHES, at.batch_key("alice", "b")),
        (at.EMBEDDINGS, at.embedding_key("ff")),
        (at.users_folder("ff"), at.use_key("ff", JOB)),
        (at.EPOCHS, at.epoch_key(1)),
        (at.FILES, at.files_folder("alice")[:-1]),
        (at.file_folder("alice", "f" * 64), str(at.FileKey("alice", "f" * 64, 1, 2))),
        (at.leave_folder("drained"), at.leave_key("drained", "node-0")),
    ]:
        assert key.startswith(prefix)
        assert is_key(key)


def test_no_key_is_spelled_out_elsewhere() -> None:
    """Text that begins like a key stands in layout.py (and the store's own trials in probe.py) alone."""
    found = {
        (path, node.lineno): node.value
        for path in SOURCES
        if path not in OWNERS
        for node in ast.walk(ast.parse((ROOT / path).read_text()))
        if isinstance(node, ast.Constant) and type(node.value) is str and A_KEY.match(node.value)
    }
    assert found == {}
