"""The client against the real application, over connections that break."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from typing_extensions import override

from deploy import cli
from farm.client import Event, Farm, FarmClient, read_events
from farm.errors import Conflict, InvalidRequest, NotFound, NotReady, StoreError, Unavailable, UnsupportedImage
from farm.jobs import Jobs, Record
from farm.store import FolderStore
from framefarm_client.part_file import own_part
from tests.imports import ROOT, all_modules_after
from tests.patience import patient
from tests.unit.conftest import Hand

CAT = ROOT / "examples" / "cat.jpg"
MP4 = bytes(range(256)) * 1000
Accept = Callable[..., Record]


def test_importing_the_client_loads_nothing_of_the_farm_and_no_httpx_yet() -> None:
    """Users import it in scripts: neither FastAPI nor the farm's rooms come along, and httpx comes with the first."""
    loaded = all_modules_after("import farm.client")
    assert {name for name in loaded if name.split(".")[0] == "farm"} == {"farm", "farm.client"}
    assert not {"httpx", "asyncio", "fastapi", "starlette", "pydantic", "torch", "ray"} & loaded


class Cut(httpx.SyncByteStream):
    """A body that breaks off."""

    def __init__(self, data: bytes, *, after: int) -> None:
        """Breaks after so many bytes."""
        self._data, self._after = data, after

    @override
    def __iter__(self) -> Iterator[bytes]:
        yield self._data[: self._after]
        if self._after < len(self._data):
            raise httpx.ReadError("the connection broke")


class Fragile(httpx.BaseTransport):
    """A network on which the first `breaks` answers break off after `after` bytes; of one method, or of any."""

    def __init__(self, *, breaks: int = 0, after: int = 0, method: str | None = None) -> None:
        self._inner, self.breaks, self._after, self._method = httpx.HTTPTransport(), breaks, after, method
        self.seen: list[httpx.Request] = []

    @override
    def close(self) -> None:
        self._inner.close()

    @override
    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        answer = self._inner.handle_request(request)
        if self.breaks == 0 or self._method not in {None, request.method}:
            return answer
        self.breaks -= 1
        with contextlib.closing(answer):
            answer.read()
        return httpx.Response(answer.status_code, headers=answer.headers, stream=Cut(answer.content, after=self._after))


class Broken(Fragile):
    """The same for answers without an end."""

    @override
    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        answer = self._inner.handle_request(request)
        if self.breaks == 0:
            return answer
        self.breaks -= 1
        return httpx.Response(answer.status_code, headers=answer.headers, stream=Short(answer, after=self._after))


class Short(httpx.SyncByteStream):
    """The beginning of an answer's body."""

    def __init__(self, answer: httpx.Response, *, after: int) -> None:
        """Break after so many bytes."""
        self._answer, self._after = answer, after

    @override
    def __iter__(self) -> Iterator[bytes]:
        seen = 0
        for piece in self._answer.iter_raw():
            yield piece[: self._after - seen]
            seen += len(piece)
            if seen >= self._after:
                raise httpx.ReadError("the connection broke")

    @override
    def close(self) -> None:
        self._answer.close()


@pytest.fixture
def finished(accept: Accept, hand: Hand) -> str:
    """The id of a finished video whose mp4 is MP4."""
    record = accept()
    hand.dispatcher.nudge(record.job.id)
    hand.commit(hand.take(), conditioning=b"c")
    for _ in range(2):
        hand.commit(hand.take(), section=b"s")
    hand.commit(hand.take(), clip=b"clip")
    hand.commit(hand.take(), video=MP4)
    return record.job.id


def client_over(network: Fragile) -> FarmClient:
    """A client of the farm that FARM_URL names."""
    return FarmClient(os.environ["FARM_URL"], transport=network, patience_s=patient(5.0))


def test_a_request_is_sent_again_but_stored_once(farm_url: str) -> None:
    """If only the answer is lost, the second attempt finds the video by its Idempotency-Key."""
    with client_over(Fragile(breaks=1)) as client:
        video = client.submit({"prompt": "a cat", "seconds": 2, "metadata": {"a": 1}}, {"input_reference": CAT})
        assert [found["id"] for found in client.every()] == [video["id"]]
        assert video["request"]["metadata"] == {"a": 1}


def test_a_wish_whose_answer_was_lost_is_not_sent_twice(farm_url: str, accept: Accept) -> None:
    """Pausing twice is a conflict, so the client checks first whether the video is paused."""
    record, way = accept(), Fragile(breaks=1)
    with client_over(way) as client:
        assert client.wish(record.job.id, "pause")["status"] == "paused"
        with pytest.raises(Conflict):
            client.wish(record.job.id, "pause")
    assert [request.method for request in way.seen] == ["POST", "GET", "POST"]


def test_a_wish_that_never_arrived_is_sent_again(farm_url: str, accept: Accept, jobs: Jobs) -> None:
    """The store fails once, so the video is unchanged and the client repeats the wish."""
    record, way = accept(), Fragile()
    put, broken = jobs.store.put_if_absent, [True]

    def once_broken(key: str, data: bytes | Path) -> bool:
        if broken and broken.pop():
            raise StoreError("the store does not answer")
        return put(key, data)

    with client_over(way) as client, pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs.store, "put_if_absent", once_broken)
        assert client.wish(record.job.id, "cancel")["status"] == "cancelled"
    assert [request.method for request in way.seen] == ["POST", "GET", "POST"]


def test_an_erasing_whose_answer_was_lost(farm_url: str, finished: str) -> None:
    """If the second attempt finds no video, the first erased it. An unknown video is still an error."""
    with client_over(Fragile(breaks=1, method="DELETE")) as client:
        assert client.delete(finished)["deleted"] is True
    for method in ("GET", "DELETE"):
        with client_over(Fragile(breaks=1, method=method)) as client, pytest.raises(NotFound):
            client.delete(finished)


def test_a_download_goes_on_where_it_broke(farm_url: str, finished: str, tmp_path: Path) -> None:
    """After two broken connections, the client fetches only the missing bytes and leaves no partial file."""
    way, out = Fragile(breaks=2, after=100_000), tmp_path / "new" / "out.mp4"
    with client_over(way) as client:
        assert client.fetch(finished, out) == out
    assert out.read_bytes() == MP4
    assert [request.headers.get("range") for request in way.seen] == [None, "bytes=100000-", "bytes=200000-"]
    assert [path.name for path in out.parent.iterdir()] == ["out.mp4"]


#: saves a video into a folder over a connection that kills the process in the middle of the file
KILLED = """
import os, sys
import httpx
from farm.client import Farm

class Deadly(httpx.HTTPTransport):
    def handle_request(self, request):
        answer = super().handle_request(request)
        if request.url.path.endswith("/content"):
            answer.stream = Half(answer.stream)
        return answer

class Half(httpx.SyncByteStream):
    def __init__(self, stream):
        self.stream = stream
    def __iter__(self):
        sent = 0
        for piece in self.stream:
            yield piece[:50_000]
            sent += len(piece)
            if sent >= 50_000:
                os.kill(os.getpid(), 9)

Farm(transport=Deadly()).video(sys.argv[1]).save(sys.argv[2])
"""


@pytest.mark.usefixtures("farm_url")
def test_a_killed_save_goes_on_at_the_next_call(finished: str, tmp_path: Path) -> None:
    """In the folder lies no file that looks like a video; the next call fetches only what is missing."""
    out, way = tmp_path / "out", Fragile()
    killed = subprocess.run([sys.executable, "-c", KILLED, finished, f"{out}/"], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    [part] = [path for path in out.iterdir() if path.suffix != ".etag"]
    assert part.suffix == ".part"
    have = part.stat().st_size
    assert 0 < have < len(MP4)
    with Farm(transport=way) as farm:
        assert farm.video(finished).save(out).read_bytes() == MP4
    assert way.seen[-1].headers["range"] == f"bytes={have}-"
    assert [path.name for path in out.iterdir()] == [f"{finished}.mp4"]


@pytest.mark.usefixtures("farm_url")
def test_saves_at_once_leave_each_others_part_alone(finished: str, tmp_path: Path) -> None:
    """While one call writes the partial file, another begins its own; many at once give many whole files."""
    out = tmp_path / "out"
    with Farm() as farm:
        with own_part(out / f".{finished}.video.part") as part:
            part.write_bytes(b"half")
            assert farm.video(finished).save(f"{out}/").read_bytes() == MP4
            assert part.read_bytes() == b"half"
        part.unlink()
        with ThreadPoolExecutor(8) as pool:
            saved = list(pool.map(lambda _: farm.video(finished).save(out), range(8)))
    assert [path.read_bytes() == MP4 for path in saved] == [True] * 8
    assert sorted(out.iterdir()) == sorted([*saved, out / f"{finished}.mp4"])


def test_a_part_of_another_file_is_not_continued(farm_url: str, finished: str, tmp_path: Path) -> None:
    """If the partial file is outdated or too long, the client starts over."""
    part = tmp_path / f".out.mp4.{finished}.video.part"
    for size, tag in ((1000, '"old"'), (len(MP4), None)):
        part.write_bytes(b"x" * size)
        etag = httpx.head(f"{farm_url}/v1/videos/{finished}/content").headers["etag"]
        part.with_suffix(".etag").write_text(tag or etag)
        with client_over(Fragile()) as client:
            assert client.fetch(finished, tmp_path / "out.mp4").read_bytes() == MP4


def test_what_is_damaged_in_the_store_is_not_asked_for_again(
    farm_url: str, finished: str, store: FolderStore, tmp_path: Path
) -> None:
    """The farm breaks off; the client asks for the rest, finds the damage and reports it without long retries."""
    [key] = [key for key in store.list(f"jobs/{finished}/") if "/video." in key]
    (store.root / key).write_bytes(MP4[:-1] + b"?")
    way = Fragile()
    with client_over(way) as client, pytest.raises(StoreError, match="differs from what the farm announced"):
        client.fetch(finished, tmp_path / "out.mp4")
    assert [request.headers.get("range") for request in way.seen] == [None, f"bytes={len(MP4) - 1}-"]
    assert not (tmp_path / "out.mp4").exists()


def test_a_damaged_file_is_refused(farm_url: str, finished: str, tmp_path: Path) -> None:
    """A partial file with wrong first bytes gives a wrong sha256, so the client writes no file."""
    part = tmp_path / f".out.mp4.{finished}.video.part"
    part.write_bytes(b"x" * 1000)
    part.with_suffix(".etag").write_text(httpx.head(f"{farm_url}/v1/videos/{finished}/content").headers["etag"])
    with client_over(Fragile()) as client:
        with pytest.raises(StoreError, match="differs from what the farm announced"):
            client.fetch(finished, tmp_path / "out.mp4")
        assert not [*tmp_path.glob("*out.mp4*")]
        assert client.fetch(finished, tmp_path / "out.mp4").read_bytes() == MP4


@pytest.mark.parametrize("after", [0, 1, 150, 400, 800])
def test_watching_survives_broken_connections(farm_url: str, finished: str, after: int) -> None:
    """The stream may break anywhere: each event still comes once, in order."""
    with client_over(Fragile()) as client:
        whole = list(client.watch(finished))
    with client_over(Fragile(breaks=2, after=after)) as client:
        assert list(client.watch(finished)) == whole
    assert whole[-1].name == "end"


@pytest.mark.parametrize("after", [400, 800])
def test_following_everything_resumes(farm_url: str, accept: Accept, hand: Hand, after: int) -> None:
    """A stream that breaks goes on with its last id: what changed meanwhile comes, and nothing asks to list again."""
    made = accept().job.id
    hand.dispatcher.nudge(made)
    with client_over(Broken(breaks=2, after=after)) as client, contextlib.closing(client.events()) as events:
        seen = [next(events)]
        hand.jobs.wish(made, "pause", owner="local")
        hand.dispatcher.nudge(made, "local")
        while (seen[-1].name, seen[-1].data.get("status")) != ("video", "paused"):
            seen.append(next(events))
    assert [event.name for event in seen].count("hello") == 3
    assert "reset" not in {event.name for event in seen}


def test_errors_come_back_as_they_left(farm_url: str, accept: Accept, tmp_path: Path) -> None:
    """The client raises the exception that the farm raised, message and all."""
    video_id, text = accept().job.id, tmp_path / "text.jpg"
    text.write_text("no picture")
    with client_over(Fragile()) as client:
        with pytest.raises(InvalidRequest, match="seconds"):
            client.submit({"prompt": "a", "seconds": -1}, {"input_reference": CAT})
        with pytest.raises(UnsupportedImage, match="input_reference"):
            client.submit({"prompt": "a"}, {"input_reference": text})
        with pytest.raises(NotFound):
            client.get("../../etc/passwd")
        with pytest.raises(NotReady):
            client.fetch(video_id, tmp_path / "out.mp4")
        with pytest.raises(Conflict):
            client.wish(video_id, "resume")


def test_no_farm_is_unavailable() -> None:
    """A wrong address gives a clear error after a short time."""
    with (
        FarmClient("http://127.0.0.1:9", patience_s=0.1) as client,
        pytest.raises(Unavailable, match=r"127\.0\.0\.1:9"),
    ):
        client.models()


@pytest.mark.parametrize("page", ["<html>hello</html>", "[]"])
def test_what_is_no_farm_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], page: str
) -> None:
    """A web page at --url gives one line on stderr and exit 2."""
    way = httpx.MockTransport(lambda _: httpx.Response(200, text=page))
    client = FarmClient("http://example.test", patience_s=0.0, transport=way)
    monkeypatch.setattr("deploy.commands.connect.client_at", lambda *_, **__: client)
    assert cli.main(["list", "--url", "http://example.test"]) == 2
    assert "the server at http://example.test is not a farm" in capsys.readouterr().err


def test_workers_are_told_what_to_do(farm_url: str, hand: Hand) -> None:
    """Pause and resume reach the farm; the client does not repeat them after a lost answer."""
    hand.dispatcher.ask(hand.card)
    with FarmClient(farm_url) as client:
        assert client.worker_wish("hand", "pause")["paused"]
        assert not client.worker_wish("hand", "resume")["paused"]
    way = Fragile(breaks=1)
    with client_over(way) as client, pytest.raises(Unavailable):
        client.worker_wish("hand", "pause")
    assert len(way.seen) == 1


@pytest.mark.parametrize("status", [404, 429, 500, 502, 503])
def test_a_proxy_before_the_farm_is_asked_again(farm_url: str, accept: Accept, status: int) -> None:
    """While a farm is away, a proxy before it answers; the client does not take that for the farm."""
    way, record = Fragile(), accept()
    ask, answers = way.handle_request, [httpx.Response(status, text="Path '/' not found"), None]
    with client_over(way) as client, pytest.MonkeyPatch.context() as patch:
        patch.setattr(way, "handle_request", lambda request: answers.pop(0) or ask(request))
        assert client.get(record.job.id)["id"] == record.job.id


def test_pings_and_half_events_are_left_out() -> None:
    """Comments are no events, and an incomplete event does not count."""
    lines = [
        ": ping",
        "",
        "id: 1.0",
        "event: status",
        'data: {"a":',
        "data: 1}",
        "",
        "id: 2.0",
        "event: end",
        'data: {"b"',
    ]
    assert list(read_events(lines)) == [Event("1.0", "status", {"a": 1})]


def test_files_are_sent_once_and_named(farm_url: str, tmp_path: Path, jobs: Jobs) -> None:
    """A lost answer sends the same file again; a request names it by its id."""
    network = Fragile(breaks=1, method="POST")
    with FarmClient(farm_url, transport=network) as client:
        file = client.upload(CAT)
        assert len(network.seen) == 2
        assert client.get_file(file["id"])["filename"] == "cat.jpg"
        assert [each["id"] for each in client.files()] == [file["id"]]
        assert client.fetch_file(file["id"], tmp_path / "cat.jpg").read_bytes() == CAT.read_bytes()
        video = client.submit({"prompt": "a cat"}, {"input_reference": file, "end_image": CAT})
        assert client.delete_file(file["id"])["deleted"] is True
        with pytest.raises(NotFound):
            client.get_file(file["id"])
        with pytest.raises(InvalidRequest, match="no such file"):
            client.submit({"prompt": "a cat"}, {"input_reference": {"file_id": file["id"]}})
    assert set(jobs.get(video["id"], owner="local").job.inputs) == {"start", "end"}
