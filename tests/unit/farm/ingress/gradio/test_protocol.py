"""The bytes of gradio's protocol, as raw callers send and read them. The worker is by hand, the rest is real."""

from __future__ import annotations

import io
import json
import threading
import time
from collections import Counter
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from farm.contract import JobId
from farm.errors import StoreError
from farm.ingress.gradio import streams
from farm.ingress.gradio.rows import Rows
from farm.jobs import Jobs
from farm.jobs.erase import Eraser
from farm.jobs.scripts import ScriptSession, is_old
from farm.ledger.layout import SCRIPTS, ScriptKey
from farm.ledger.notes import ScriptEvent
from farm.ledger.states import ErrorInfo, Event
from farm.store import FolderStore
from tests.unit.conftest import DispatcherHere, Hand

API = "/gradio_api"
FRAMEPACK = ["prompt", "n_prompt", "seed", "total_second_length", "latent_window_size", "steps", "cfg", "gs", "rs"]
TO_TEACACHE = [*FRAMEPACK, "gpu_memory_preservation", "use_teacache"]
EXTRAS = {"end_frame": None, "use_random_seed": False, "save_section_frames": False, "hand_optimization": False}
NEUTRAL = {**EXTRAS, "flow_preset": "standard"}
DEFAULTS = dict(zip(TO_TEACACHE, ["", "", 31337, 5, 9, 25, 1, 10, 0, 6, True], strict=True))
ORDERS = {
    "": {**DEFAULTS, "mp4_crf": 16, **NEUTRAL},
    "/nirvash": {"end_frame": None, **DEFAULTS, "use_random_seed": True, "save_section_frames": True},
    "/suparious": {**DEFAULTS, "hand_optimization": True, "flow_preset": "standard", "mp4_crf": 16},
    "/svjack": DEFAULTS,
}
FEW = {"total_second_length": 1, "latent_window_size": 4, "steps": 2}


def uploaded(http: TestClient, png: bytes, door: str = "") -> dict[str, str]:
    """Send a picture; return it as clients name it in a call."""
    answer = http.post(f"{door}{API}/upload", files={"files": ("cat.png", png)})
    assert answer.status_code == 200, answer.text
    (path,) = answer.json()
    return {"path": path}


def call(http: TestClient, values: dict[str, Any] | list[Any], name: str = "process", door: str = "") -> str:
    """Begin a call by name or by position; return its event's id."""
    by_name = isinstance(values, dict)
    path = f"{door}{API}/call/{'v2/' if by_name else ''}{name}"
    answer = http.post(path, json=values if by_name else {"data": values})
    assert answer.status_code == 200, answer.text
    event: str = answer.json()["event_id"]
    return event


def end_of(http: TestClient, event: str, name: str = "process", door: str = "") -> tuple[str, Any]:
    """Follow a call; return its last event."""
    lines = http.get(f"{door}{API}/call/{name}/{event}").text.strip().split("\n\n")
    kind, data = lines[-1].split("\n")
    return kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))


def refused(http: TestClient, values: dict[str, Any] | list[Any], name: str = "process", door: str = "") -> str:
    """Begin a call that the farm refuses; return the error."""
    kind, data = end_of(http, call(http, values, name, door), name, door)
    assert kind == "error"
    error: str = data["error"]
    return error


def joined(http: TestClient, session: str, data: list[Any], number: int = 0, door: str = "") -> str:
    """Begin a call of a session, as the packages do; return its event's id."""
    sent = {"data": data, "fn_index": number, "session_hash": session}
    answer = http.post(f"{door}{API}/queue/join", json=sent)
    assert answer.status_code == 200, answer.text
    event: str = answer.json()["event_id"]
    return event


def stream(http: TestClient, session: str, door: str = "") -> list[dict[str, Any]]:
    """Read a session's stream to its end. Each line is as clients of 1.8 want it."""
    answer = http.get(f"{door}{API}/queue/data", params={"session_hash": session})
    assert answer.headers["content-type"].startswith("text/event-stream")
    parts = answer.text.split("\n\n")
    assert parts.pop() == ""
    assert all(part.startswith("data: ") and "\n" not in part for part in parts)
    messages = [json.loads(part.removeprefix("data: ")) for part in parts]
    assert messages[-1] == {"msg": "close_stream"}
    return [message for message in messages[:-1] if message["msg"] != "heartbeat"]


def video_of(http: TestClient, event: str) -> Any:
    """Return the video object of an event."""
    return http.get(f"/v1/videos/{event}").raise_for_status().json()


@pytest.mark.parametrize("at", ORDERS)
def test_a_door_tells_its_parameters(http: TestClient, at: str) -> None:
    """/info has each fork's order and defaults; /config has them as components, with buttons that Python skips."""
    config = http.get(f"{at}/config").json()
    told = {name: config[name] for name in ("version", "api_prefix", "protocol", "connect_heartbeat", "max_file_size")}
    assert told == {
        "version": "5.50.0",
        "api_prefix": API,
        "protocol": "sse_v3",
        "connect_heartbeat": False,
        "max_file_size": 4 << 20,
    }
    process = http.get(f"{at}{API}/info", params={"serialize": "False"}).json()["named_endpoints"]["/process"]
    image, *rest = process["parameters"]
    assert (image["parameter_name"], image["parameter_has_default"]) == ("input_image", False)
    assert all(parameter["parameter_has_default"] for parameter in rest)
    found = {parameter["parameter_name"]: parameter["parameter_default"] for parameter in rest}
    assert list(found.items()) == list(ORDERS[at].items())
    by_id = {component["id"]: component for component in config["components"]}
    (dependency,) = [each for each in config["dependencies"] if each["api_name"] == "process"]
    assert len(dependency["inputs"]) == len(process["parameters"])
    outputs = [by_id[number] for number in dependency["outputs"]]
    seen = [output["type"] for output in outputs if not output["skip_api"]]
    assert seen == ["video", "image", "markdown", "html", *(["number"] if at == "/nirvash" else [])]
    assert len(process["returns"]) == len(seen)
    assert len(outputs) == len(seen) + 2


def test_each_door_has_its_forks_calls(http: TestClient) -> None:
    """At the root are all of them."""
    sections = {"update_section_settings", *(f"update_section_settings_{n}" for n in range(1, 6))}
    common = {"process", "end_process"}
    expected = {
        "": common | sections | {"apply_preset", "set_random_seed"},
        "/nirvash": common | sections | {"set_random_seed"},
        "/suparious": common | {"apply_preset"},
        "/svjack": common,
    }
    for door, calls in expected.items():
        named = http.get(f"{door}{API}/info").json()["named_endpoints"]
        assert {name.removeprefix("/") for name in named} == calls
        assert http.get(f"{door}{API}/heartbeat/abc").status_code == 404


def test_a_session_is_told_all_and_closed(
    http: TestClient, hand: Hand, png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """estimation, process_starts, rows (the first whole, later ones as edits), process_completed, close_stream."""
    event = joined(http, "s1", [uploaded(http, png), "a cat", "", 7, 1, 4, 2])
    assert video_of(http, event)["prompt"] == "a cat"
    hand.finish()
    messages = stream(http, "s1")
    assert {message["event_id"] for message in messages} == {event}
    kinds = [message["msg"] for message in messages]
    rows = 1 + 6 + 2 * 2 + 1 + 1  # blank, hints, steps of two sections, the second's file, the whole
    assert kinds == ["estimation", "process_starts", *["process_generating"] * rows, "process_completed"]
    first, second, *_, whole, done = messages[2:]
    update = {"__type__": "update"}
    buttons = [{"interactive": False, **update}, {"interactive": True, **update}]
    assert first["output"]["data"] == [None, None, "", "", *buttons]
    assert [edit[0][:2] for edit in second["output"]["data"]] == [["replace", []]] * 6
    assert done["output"]["data"] == [edit[0][2] for edit in whole["output"]["data"]]
    assert done["success"] is True
    video = done["output"]["data"][0]["video"]
    assert video["path"] == f"videos/{event}.mp4"
    assert http.get(f"{API}/file={video['path']}").content == http.get(video["url"]).content == b"mp4 bytes"
    monkeypatch.setattr(streams, "_EMPTY_S", 0.2)
    assert stream(http, "s1") == []  # a later join opens it again


def test_a_video_is_told_while_it_is_made(http: TestClient, hand: Hand, door: DispatcherHere, png: bytes) -> None:
    """Two clients that follow one call hear the same, whenever they came; progress fills the steps in between."""
    event = call(http, {"input_image": uploaded(http, png), **FEW})
    hand.finish()
    lines = http.get(f"{API}/call/process/{event}").text
    assert lines == http.get(f"{API}/call/process/{event}").text
    kinds = [part.split("\n")[0] for part in lines.strip().split("\n\n")]
    assert kinds == ["event: generating"] * 13 + ["event: complete"]


def test_a_file_has_ranges_and_its_name(http: TestClient, hand: Hand, png: bytes) -> None:
    """Content comes from the store. Files of others' videos, and paths outside, are 404."""
    event = call(http, {"input_image": uploaded(http, png), **FEW})
    assert http.get(f"{API}/file=videos/{event}.mp4").json()["code"] == "not_ready"
    hand.finish()
    part = http.get(f"{API}/file=videos/{event}.mp4", headers={"Range": "bytes=4-8"})
    assert (part.status_code, part.content) == (206, b"bytes")
    assert f'filename="{event}.mp4"' in part.headers["content-disposition"]
    for path in ("/etc/passwd", "videos/../secrets/seal", f"videos/{event}", f"videos/video_{'0' * 32}.mp4", "files/x"):
        assert http.get(f"{API}/file={path}").status_code == 404
    path = uploaded(http, png)["path"]
    assert http.get(f"{API}/file={path}").content == png


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"input_image": None}, "input_image, here input_reference: the model tiny needs a start image"),
        ({"input_image": "/etc/passwd"}, "input_image: '/etc/passwd' is no uploaded file"),
        ({"input_image": {"path": "http://x/cat.png"}}, "input_image: 'http://x/cat.png' is no uploaded file"),
        ({"input_image": {"path": f"files/file-{'a' * 64}"}}, "input_image, here input_reference: no such file"),
        ({"input_image": ["a"]}, "input_image: need a file"),
        ({"latent_window_size": 34}, "latent_window_size: need at most 33"),
        ({"seed": -2}, "seed: need at least -1"),
        ({"seed": 1.5}, "seed: need a whole number"),
        ({"steps": "25"}, "steps: need a whole number"),
        ({"gs": True}, "gs: need a number"),
        ({"use_teacache": "yes"}, "use_teacache: need true or false"),
        ({"prompt": 7}, "prompt: need a text"),
        ({"flow_preset": "walk"}, "flow_preset: need one of standard, dance"),
        ({"nothing": 1}, "nothing: /process has no such parameter here"),
        ({"n_prompt": "x" * 4001}, "n_prompt, here negative_prompt: need at most 4000 characters"),
        ([None] * 18 + [1], "data: /process takes 18 values here, not 19"),
    ],
)
def test_a_refusal_names_the_parameter(http: TestClient, values: dict[str, Any] | list[Any], text: str) -> None:
    """The error is the call's answer, and nothing is stored."""
    assert text in refused(http, values)
    assert http.get("/v1/videos").json()["data"] == []


def test_a_broken_picture_is_refused_where_it_is_used(http: TestClient, png: bytes) -> None:
    """Gradio's clients hide what an upload answers, so the call tells it."""
    small = io.BytesIO()
    Image.new("RGB", (20, 20)).save(small, "PNG")
    for data, text in ((png[:60], "truncated"), (small.getvalue(), "each side needs at least 32 px")):
        assert text in refused(http, {"input_image": uploaded(http, data), **FEW})
    error = refused(http, {"input_image": uploaded(http, png), "end_frame": {"path": "refused/AAAAA"}})
    assert error.startswith("end_frame: 'refused/AAAAA' is no uploaded file")


def test_values_become_a_request(http: TestClient, png: bytes) -> None:
    """Each parameter has its counterpart; what the forks name differently is taken for what it means."""
    image = uploaded(http, png)

    def request(door: str = "", **values: Any) -> dict[str, Any]:
        event = call(http, {"input_image": image, **FEW, **values}, door=door)
        found: dict[str, Any] = video_of(http, event)["request"]
        return found

    plain = request(n_prompt="no", cfg=2, gs=5, rs=0.5, mp4_crf=100, use_teacache=False)
    assert (plain["prompt"], plain["negative_prompt"], plain["seconds"], plain["seed"]) == ("", "no", 1.0, 31337)
    assert (plain["true_cfg_scale"], plain["guidance_scale"], plain["guidance_rescale"]) == (2.0, 5.0, 0.5)
    assert (plain["crf"], plain["cache"], plain["cache_threshold"], plain["preserve_gb"]) == (51, "none", None, None)
    assert (plain["save_frames"], plain["flow_exponent"], plain["model"]) == ("none", 1.0, "tiny")
    fork = request("/suparious", flow_preset="action")
    assert (fork["cache"], fork["cache_threshold"], fork["flow_exponent"], fork["crf"]) == ("teacache", 0.1, 0.95, 16)
    fork = request("/svjack", seed=-1)
    assert (fork["cache_threshold"], fork["seed"] >= 0) == (0.15, True)
    drawn = [request("/nirvash", seed=5) for _ in range(3)]
    assert len({each["seed"] for each in drawn} | {5}) == 4
    assert drawn[0]["save_frames"] == "borders"
    assert request("/nirvash", seed=5, use_random_seed=False, save_section_frames=False)["seed"] == 5


def test_sections_hold_for_their_session(http: TestClient, png: bytes) -> None:
    """Numbers count from the video's end; one behind its start acts on the first section. Other sessions have none."""
    image = uploaded(http, png)
    named = {each["api_name"]: each["id"] for each in http.get("/nirvash/config").json()["dependencies"]}
    joined(http, "s1", [0, image, 1, None, 90, image], named["update_section_settings_2"], "/nirvash")
    values = [image, None, "mine", "", 7, 2, 4, 1, 1, 10, 0, 6, True, False, False, None]  # four sections of 0.533 s
    ours, others = (joined(http, session, values, door="/nirvash") for session in ("s1", "s2"))
    assert [round(each["at_s"], 3) for each in video_of(http, ours)["request"]["keyframes"]] == [1.867, 0.267]
    assert video_of(http, others)["request"]["keyframes"] == []
    joined(http, "s1", [None] * 6, named["update_section_settings"], "/nirvash")
    assert video_of(http, joined(http, "s1", values, door="/nirvash"))["request"]["keyframes"] == []
    error = refused(http, {"num1": 0, "img1": {"path": "a.png"}}, "update_section_settings", "/nirvash")
    assert error.startswith("img1: 'a.png' is no uploaded file")
    assert refused(http, {"num1": -1, "img1": image}, "update_section_settings") == "num1: need at least 0"


def test_small_calls_answer(http: TestClient) -> None:
    """A preset of the fork and a drawn seed."""
    kind, data = end_of(http, call(http, ["Subtle Movement"], "apply_preset"), "apply_preset")
    assert kind == "complete"
    values = [output.get("value") for output in data]
    assert values[5:] == [20, None, 7.0, None, 6, True, False, "subtle", None]
    assert values[0].startswith("The person makes subtle movements")
    assert "preset_name: need one of Default" in refused(http, ["Sleep"], "apply_preset")
    kind, (seed,) = end_of(http, call(http, [True], "set_random_seed"), "set_random_seed")
    assert 0 <= seed < 2**32
    assert end_of(http, call(http, [False], "set_random_seed"), "set_random_seed")[1] == [{"__type__": "update"}]


def test_a_session_ends_its_own_videos(http: TestClient, hand: Hand, png: bytes) -> None:
    """end_process and cancel act on what their session waits for; the error is the farm's."""
    image, end = uploaded(http, png), http.get("/config").json()["dependencies"][1]
    assert end["api_name"] == "end_process"
    first, second = (joined(http, session, [image, session, "", 7, 1]) for session in ("s1", "s2"))
    joined(http, "s1", [], end["id"])
    assert [video_of(http, event)["status"] for event in (first, second)] == ["cancelled", "queued"]
    told = {message["event_id"]: message for message in stream(http, "s1") if message["msg"] == "process_completed"}
    assert told[first]["output"] == {"error": "the video was cancelled"}
    assert sorted(message["success"] for message in told.values()) == [False, True]

    wrong = http.post(f"{API}/cancel", json={"event_id": second, "session_hash": "s1", "fn_index": 0})
    assert (wrong.json(), video_of(http, second)["status"]) == ({"success": False}, "queued")
    right = http.post(f"{API}/cancel", json={"event_id": second, "session_hash": "s2", "fn_index": 0})
    assert (right.json(), video_of(http, second)["status"]) == ({"success": True}, "cancelled")
    assert http.post(f"{API}/reset", json={"event_id": second}).json() == {"success": False}  # it has ended
    assert http.post(f"{API}/reset", json={"event_id": None}).json() == {"success": False}

    picture = {"input_reference": png}
    page = http.post("/v1/videos", data={"prompt": "of the page"}, files=picture).raise_for_status().json()["id"]
    for stop in ("reset", "cancel"):
        assert http.post(f"{API}/{stop}", json={"event_id": page}).json() == {"success": False}
    assert video_of(http, page)["status"] == "queued"  # no script waits for it

    raw, other = (call(http, {"input_image": image, "prompt": name}) for name in ("raw", "other"))
    assert http.post(f"{API}/reset", json={"event_id": other}).json() == {"success": True}
    end_of(http, call(http, [], "end_process"), "end_process")
    assert video_of(http, raw)["status"] == "cancelled"
    assert end_of(http, raw) == ("error", {"error": "the video was cancelled"})


def test_a_script_outlives_a_fault_of_the_store(
    http: TestClient, hand: Hand, png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The note of an accepted video comes late, and reads fail at first: one video, which is told to its end."""
    image, failed, faulty = uploaded(http, png), Counter[str](), set[str]()

    def fail_at_first(name: str) -> None:
        real = getattr(FolderStore, name)

        def act(self: FolderStore, key: str, *values: Any, **named: Any) -> Any:
            act_on = f"{name} {key.partition('/')[0]}"
            if act_on in faulty and failed[act_on] < 2:
                failed[act_on] += 1
                raise StoreError("the store does not answer")
            return real(self, key, *values, **named)

        monkeypatch.setattr(FolderStore, name, act)

    for name in ("put_if_absent", "get", "list"):
        fail_at_first(name)
    monkeypatch.setattr(streams, "_RETRY_S", 0.05)
    faulty.add("put_if_absent scripts")
    event = joined(http, "s1", [image, "a cat", "", 7, 1, 4, 2])
    hand.finish()
    faulty |= {"get scripts", "list scripts", "get jobs"}
    (done,) = [message for message in stream(http, "s1") if message["msg"] == "process_completed"]
    assert (done["event_id"], done["success"]) == (event, True)
    assert failed == dict.fromkeys(faulty, 2)
    assert len(http.get("/v1/videos").json()["data"]) == 1


def test_a_stream_stays_open_for_a_late_note(
    http: TestClient, hand: Hand, png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While this process still tries to write it, the session has something to tell, however long that takes."""
    monkeypatch.setattr(streams, "_EMPTY_S", -1)
    real, is_open = ScriptSession.wait_for, threading.Event()

    def wait_for(self: ScriptSession, *values: Any, **named: Any) -> ScriptEvent:
        if not is_open.is_set():
            raise StoreError("the store does not answer")
        return real(self, *values, **named)

    real_keys, looks = ScriptSession.keys, Counter[str]()

    def keys(self: ScriptSession) -> list[ScriptKey]:
        looks["looks"] += 1
        if looks["looks"] == 2:  # nothing was there at the first look, and the stream is still open
            is_open.set()
        return real_keys(self)

    monkeypatch.setattr(ScriptSession, "wait_for", wait_for)
    monkeypatch.setattr(ScriptSession, "keys", keys)
    event = joined(http, "s1", [uploaded(http, png), "a cat", "", 7, 1, 4, 2])
    hand.finish()
    (done,) = [message for message in stream(http, "s1") if message["msg"] == "process_completed"]
    assert (done["event_id"], done["success"]) == (event, True)


def test_a_fault_of_the_farm_ends_one_call(
    http: TestClient, hand: Hand, png: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its client gets an error and the log a line; the session's other call is told to its end, and none twice."""
    names = ("cannot be read", "cannot be written", "good")
    image, real, real_last = uploaded(http, png), ScriptSession.event, Rows.last
    unread, unwritten, good = (joined(http, "s1", [image, name, "", 7, 1, 4, 2]) for name in names)
    hand.finish()

    def event(self: ScriptSession, key: ScriptKey) -> ScriptEvent | None:
        if key.name == unread:
            raise ValueError("a fault of ours")
        return real(self, key)

    def last(self: Rows) -> list[Any]:
        row = real_last(self)
        return [*row, object()] if unwritten in str(row) else row

    monkeypatch.setattr(ScriptSession, "event", event)
    monkeypatch.setattr(Rows, "last", last)
    done = {message["event_id"]: message for message in stream(http, "s1") if message["msg"] == "process_completed"}
    for bad in (unread, unwritten):
        assert done[bad]["output"] == {"error": "an internal error occurred; the farm has logged it"}
    assert done[good]["success"] is True
    assert [record.levelname for record in caplog.records if record.message == "script_failed"] == ["ERROR"] * 2
    monkeypatch.setattr(streams, "_EMPTY_S", 0.2)
    assert stream(http, "s1") == []


def test_a_fault_of_the_farm_ends_a_session(
    http: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the farm cannot look for calls, its clients hear that all of them have ended, and the log has a line."""

    def keys(self: ScriptSession) -> list[ScriptKey]:
        raise ValueError("a fault of ours")

    monkeypatch.setattr(ScriptSession, "keys", keys)
    said = http.get(f"{API}/queue/data", params={"session_hash": "s1"}).text
    assert '"message": "Server stopped unexpectedly."' in said  # the text by which gradio's clients know it
    assert said.endswith('data: {"msg": "close_stream"}\n\n')
    assert [record.levelname for record in caplog.records if record.message == "session_failed"] == ["ERROR"]


def test_a_slow_store_stops_no_heartbeat(http: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream beats while it waits for the first answer of the store."""
    monkeypatch.setattr(streams, "_BEAT_S", 0.05)
    monkeypatch.setattr(streams, "_EMPTY_S", -1)
    real = FolderStore.list

    def slow(self: FolderStore, *values: Any, **named: Any) -> list[str]:
        time.sleep(0.5)
        return real(self, *values, **named)

    monkeypatch.setattr(FolderStore, "list", slow)
    parts = http.get(f"{API}/queue/data", params={"session_hash": "s1"}).text.strip().split("\n\n")
    assert parts[0] == 'data: {"msg": "heartbeat"}'
    assert parts[-1] == 'data: {"msg": "close_stream"}'


def test_an_open_stream_hears_of_a_join_here_at_once(
    http: TestClient, farm_url: str, png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looks into the store for what other processes took only now and then; here that is never."""
    monkeypatch.setattr(streams, "_LOOK_S", 1e6)
    url = f"{farm_url}{API}"
    waiting = joined(http, "s1", [uploaded(http, png), "a cat"])
    seed = {"data": [True], "fn_index": 3, "session_hash": "s1"}
    asked = ""
    with httpx.stream("GET", f"{url}/queue/data", params={"session_hash": "s1"}, timeout=None) as answer:
        for line in filter(None, answer.iter_lines()):
            message = json.loads(line.removeprefix("data: "))
            assert message["msg"] not in {"heartbeat", "close_stream"}
            if not asked:
                assert message["event_id"] == waiting
                asked = httpx.post(f"{url}/queue/join", json=seed).json()["event_id"]
            elif message["event_id"] == asked and message["msg"] == "process_completed":
                break
    assert video_of(http, waiting)["status"] == "queued"


def test_what_ends_otherwise_is_an_error(http: TestClient, hand: Hand, png: bytes) -> None:
    """A video that fails or is deleted ends its call with the farm's message; an unknown event is 404."""
    event = joined(http, "s1", [uploaded(http, png), "a cat"])
    http.post(f"/v1/videos/{event}/cancel")
    http.delete(f"/v1/videos/{event}")
    (done,) = [message for message in stream(http, "s1") if message["msg"] == "process_completed"]
    assert (done["success"], event in done["output"]["error"]) == (False, True)
    event = joined(http, "s2", [uploaded(http, png), "a cat"])
    error = ErrorInfo(code="boom", message="the worker fell over")
    hand.jobs.ledger.append(JobId(event), Event(name="failed", error=error))
    (done,) = [message for message in stream(http, "s2") if message["msg"] == "process_completed"]
    assert (done["success"], done["output"]) == (False, {"error": "the worker fell over"})
    for name, unknown in (("process", event[:-1]), ("end_process", "answer_1"), ("process", "x"), ("nothing", "x")):
        assert http.get(f"{API}/call/{name}/{unknown}").status_code == 404
    bad: list[tuple[object, object]] = [(99, "s"), (True, "s"), (None, "s"), (0, 7)]
    for number, session in bad:
        sent = {"fn_index": number, "session_hash": session}
        assert http.post(f"{API}/queue/join", json={"data": [], **sent}).status_code == 422


def test_notes_go_with_their_age(http: TestClient, store: FolderStore, jobs: Jobs, png: bytes) -> None:
    """After FARM_FILE_HOURS nothing of a session is left; the video is."""
    event = joined(http, "s1", [uploaded(http, png), "a cat"])
    refused(http, {"input_image": None})
    created_s = jobs.get(event, owner="local").job.created_ms / 1000
    assert len(store.list(SCRIPTS)) == 2
    eraser = Eraser(store, SCRIPTS)
    assert eraser.erase_some(lambda key: is_old(key, 24.0, now_s=created_s + 23 * 3600)) is False
    assert len(store.list(SCRIPTS)) == 2
    assert eraser.erase_some(lambda key: is_old(key, 24.0, now_s=created_s + 25 * 3600)) is False
    assert store.list(SCRIPTS) == []
    assert video_of(http, event)["prompt"] == "a cat"


def test_a_full_farm_says_so(http: TestClient, door: DispatcherHere, png: bytes) -> None:
    """The limits of POST /v1/videos hold here too."""
    settings = http.app.state.dependencies.settings.model_copy(update={"max_open_videos": 0})  # type: ignore[attr-defined]
    object.__setattr__(http.app.state.dependencies, "settings", settings)  # type: ignore[attr-defined]
    assert "FARM_MAX_OPEN_VIDEOS" in refused(http, {"input_image": uploaded(http, png), **FEW})
