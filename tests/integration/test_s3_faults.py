"""Faults of an S3 server or the network: lost answers, conflicts, broken reads, damage, silence, wrong answers."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest

from farm.contract import Artifact
from farm.errors import ConfigError, StoreError
from farm.jobs import Jobs, Record
from farm.ledger.damage import verified
from farm.store import Store, s3
from farm.store.s3 import S3Store
from tests.integration.test_store_suite import live_through
from tests.s3_servers import BUCKET, KEYS, Fault, Place, Relay, client

pytestmark = pytest.mark.integration
Accept = Callable[..., Record]


def first(times: int, method: str, fault: Fault) -> Callable[[str, str], Fault | None]:
    """Apply the fault to the first `times` requests of this method."""
    numbers = count()
    return lambda asked, _: fault if asked == method and next(numbers) < times else None


def every_other(method: str, fault: Fault) -> Callable[[str, str], Fault | None]:
    """Apply the fault to each key's first request of this method."""
    met: set[str] = set()

    def choose(asked: str, path: str) -> Fault | None:
        if asked != method or path in met:
            return None
        met.add(path)
        return fault

    return choose


def test_create_if_absent_is_all_that_is_asked_of_a_server(ministack_endpoint: str, accept: Accept) -> None:
    """Throughout a video's life, no request compares an ETag, and every put carries `If-None-Match: *`."""
    store, headers = S3Store(f"s3://{BUCKET}/{uuid4().hex}", endpoint=ministack_endpoint), list[tuple[str, set[str]]]()

    def note(request: Any, **_: object) -> None:
        headers.append((request.method, {name.lower() for name in request.headers}))

    store._s3.meta.events.register("before-send.s3", note)
    live_through(Jobs(store), accept)
    assert not [sent for _, sent in headers if "if-match" in sent]
    puts = [sent for method, sent in headers if method in {"PUT", "POST"}]
    assert puts
    assert all("if-none-match" in sent for sent in puts)


def test_no_request_leaves_the_prefix(ministack_endpoint: str, accept: Accept) -> None:
    """From the start-up trial to the end of a video, so that keys may open no more (deploy/aws/store-policy.json)."""
    prefix, asked = uuid4().hex, list[str]()
    store = S3Store(f"s3://{BUCKET}/{prefix}", endpoint=ministack_endpoint)
    store._s3.meta.events.register("before-send.s3", lambda request, **_: asked.append(request.url))
    store.prove()
    live_through(Jobs(store), accept)
    for url in map(urlsplit, asked):
        below = parse_qs(url.query).get("prefix", [url.path.removeprefix(f"/{BUCKET}/")])
        assert all(name.startswith(f"{prefix}/") for name in below), url
    assert any("list-type" in url for url in asked)


def test_a_lost_answer_looks_like_a_lost_race(relay: Relay, relayed: Store) -> None:
    """If the answer to a successful put gets lost, the put returns False, and the stored object is ours."""
    relay.fault = first(1, "PUT", "lose")
    assert not relayed.put_if_absent("a", b"mine")
    assert [method for method, _ in relay.seen] == ["PUT", "PUT"]
    assert relayed.get("a") == b"mine"


def test_a_video_lives_although_every_answer_is_lost(relay: Relay, relayed: Store, accept: Accept) -> None:
    """If every first answer gets lost, no entry is written twice and each lease keeps its worker."""
    relay.fault = every_other("PUT", "lose")
    live_through(Jobs(relayed), accept)
    puts = Counter(path for method, path in relay.seen if method == "PUT")
    assert puts
    assert min(puts.values()) > 1  # each was sent again, as its first answer had been lost


def test_conflicts_are_asked_again(relay: Relay, relayed: Store) -> None:
    """409 means that others are writing: the put repeats until one has won, and finally fails with a named error."""
    relay.fault = first(3, "PUT", "conflict")
    assert relayed.put_if_absent("a", b"1")
    relay.fault = first(3, "PUT", "conflict")
    assert not relayed.put_if_absent("a", b"2")
    assert relayed.get("a") == b"1"
    relay.fault = lambda method, _: "conflict" if method == "PUT" else None
    with pytest.raises(StoreError, match="409 ConditionalRequestConflict"):
        relayed.put_if_absent("b", b"1")


def test_a_busy_server_is_asked_again(relay: Relay, relayed: Store) -> None:
    """After a 503, the client asks again."""
    relay.fault = every_other("PUT", "error")
    assert relayed.put_if_absent("a", b"1")
    relay.fault = every_other("GET", "error")
    assert relayed.get("a") == b"1"


def test_a_read_that_breaks_off_goes_on_where_it_broke(relay: Relay, relayed: Store, tmp_path: Path) -> None:
    """After a connection breaks in the middle of a body, the read goes on with a second request."""
    data = bytes(range(256)) * 20_000
    relayed.put_if_absent("a", data)
    for start, length in ((0, None), (1000, 4_000_000)):
        relay.fault = first(2, "GET", "cut")
        wanted = data[start:] if length is None else data[start : start + length]
        assert b"".join(relayed.open_read("a", start=start, length=length)) == wanted
    relay.fault = first(1, "GET", "cut")
    relayed.download("a", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == data


@pytest.mark.parametrize("place", ["ministack", "ceph"], indirect=True)
def test_large_files_go_up_in_parts(place: Place, tmp_path: Path) -> None:
    """A big file is uploaded in parts, arrives whole, and does not replace an existing object."""
    store = S3Store(place.storage, endpoint=place.s3_endpoint, multipart_bytes=6_000_000, part_bytes=5 << 20)
    data = bytes(range(256)) * 48_000
    (tmp_path / "big").write_bytes(data)
    assert store.put_if_absent("video.mp4", tmp_path / "big")
    assert not store.put_if_absent("video.mp4", tmp_path / "big")
    assert store.get("video.mp4") == data
    head = client(place.s3_endpoint or "").head_object(Bucket=BUCKET, Key=store._name("video.mp4"))
    assert head["ETag"].strip('"').endswith("-3")


def test_a_lost_answer_to_the_last_part(relay: Relay, relayed: Store, tmp_path: Path) -> None:
    """If the answer to a completed upload gets lost, the put returns False, and the bytes are ours."""
    store = S3Store(f"s3://{BUCKET}/{uuid4().hex}", endpoint=relay.endpoint, multipart_bytes=0, part_bytes=5 << 20)
    (tmp_path / "big").write_bytes(b"x" * 100)
    posts = count()  # the first begins the upload, the second completes it
    relay.fault = lambda method, _: "lose" if method == "POST" and next(posts) == 1 else None
    store.put_if_absent("video.mp4", tmp_path / "big")
    assert store.get("video.mp4") == b"x" * 100


@pytest.mark.parametrize("place", ["ministack", "ceph"], indirect=True)
def test_a_damaged_object_is_noticed(place: Place) -> None:
    """If one bit of an artifact flips in the store, every reader gets an error."""
    store, data = place.open(), b"latents" * 100
    store.put_if_absent("jobs/a/x", data)
    artifact = Artifact(key="jobs/a/x", sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
    assert verified(store, artifact) == data
    name = f"{place.storage.removeprefix(f's3://{BUCKET}/')}/jobs/a/x"
    client(place.s3_endpoint or "").put_object(Bucket=BUCKET, Key=name, Body=bytes([data[0] ^ 1]) + data[1:])
    with pytest.raises(StoreError, match="jobs/a/x is damaged"):
        verified(store, artifact)


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    """Without a server, every method raises a StoreError that names the store and reveals no secret."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        store = Place(f"s3://{BUCKET}/x", f"http://127.0.0.1:{taken.getsockname()[1]}").open()
        calls: list[Callable[[], object]] = [
            lambda: store.put_if_absent("a", b""),
            lambda: store.get("a"),
            lambda: store.list("a/"),
            lambda: store.delete("a"),
            store.prove,
        ]
        found: list[StoreError] = []

        def ask(call: Callable[[], object]) -> None:
            with pytest.raises(StoreError, match=f"s3://{BUCKET}/x at http://127.0.0.1") as caught:
                call()
            found.append(caught.value)

        threads = [threading.Thread(target=ask, args=(call,)) for call in calls]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(found) == len(calls)
    assert KEYS["AWS_SECRET_ACCESS_KEY"] not in "".join(map(str, found))


def test_a_missing_bucket_and_missing_keys_are_named(ministack_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The errors name the missing bucket or keys and say what to do."""
    with pytest.raises(StoreError, match="there is no bucket nowhere"):
        Place("s3://nowhere/x", ministack_endpoint).open().prove()
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(StoreError, match=r"no credentials for .*; set AWS_ACCESS_KEY_ID"):
        Place(f"s3://{BUCKET}/x", ministack_endpoint).open().prove()


def test_a_wrong_key_is_named(ceph_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the server refuses our signature, the error names the variables to check, not their values."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-4711")
    with pytest.raises(StoreError, match="403 SignatureDoesNotMatch; check AWS_ACCESS_KEY_ID") as caught:
        Place(f"s3://{BUCKET}/x", ceph_endpoint).open().prove()
    assert "4711" not in str(caught.value)


def test_a_server_without_create_once_is_refused(relay: Relay, relayed: Store) -> None:
    """The trial refuses a server that ignores If-None-Match, every time, and leaves nothing behind."""
    relay.fault = lambda method, _: "unconditional" if method == "PUT" else None
    for _ in range(2):
        with pytest.raises(ConfigError, match=rf"s3://{BUCKET}/test/.* cannot hold a farm: 16 of 16 writers"):
            relayed.prove()
    assert relayed.list("probe/") == []


def test_the_trial_bears_lost_answers(relay: Relay, relayed: Store) -> None:
    """The trial accepts a server although the winner's answer got lost."""
    relay.fault = every_other("PUT", "lose")
    relayed.prove()
    assert len(relayed.list("probe/")) == 1


def test_unfinished_uploads_are_left_to_their_writers(ministack_endpoint: str) -> None:
    """Opening a store does not disturb a running upload."""
    prefix = uuid4().hex
    server = client(ministack_endpoint)
    upload = server.create_multipart_upload(Bucket=BUCKET, Key=f"{prefix}/big")["UploadId"]
    Place(f"s3://{BUCKET}/{prefix}", ministack_endpoint).open().prove()
    running = server.list_multipart_uploads(Bucket=BUCKET, Prefix=f"{prefix}/")["Uploads"]
    assert [each["UploadId"] for each in running] == [upload]


def test_uploads_of_writers_that_were_killed_are_taken_back(
    ministack_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening a store removes all of its own abandoned uploads, page by page, and keeps those of other farms."""
    monkeypatch.setattr(s3, "_STALE", timedelta(0))
    prefix, other = uuid4().hex, uuid4().hex
    server = client(ministack_endpoint)
    for key in (f"{prefix}/a", f"{prefix}/a", f"{prefix}/b", f"{other}/a"):
        server.create_multipart_upload(Bucket=BUCKET, Key=key)
    store = S3Store(f"s3://{BUCKET}/{prefix}", endpoint=ministack_endpoint)
    one_at_a_time = "before-parameter-build.s3.ListMultipartUploads"
    store._s3.meta.events.register(one_at_a_time, lambda params, **_: params.update(MaxUploads=1))
    store.prove()
    left = server.list_multipart_uploads(Bucket=BUCKET)["Uploads"]
    assert [upload["Key"] for upload in left if upload["Key"].startswith((prefix, other))] == [f"{other}/a"]
