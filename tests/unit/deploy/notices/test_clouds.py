"""Each cloud's notices: the documented answers, and those of a service that fails."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from actors.notices.notice import CloudNotice
from deploy.node.notices import metadata
from deploy.node.notices.aws import Aws, interruption, lifecycle, rebalance
from deploy.node.notices.azure import Azure, first_end
from deploy.node.notices.find import find_cloud
from deploy.node.notices.gcp import Gcp, preempted
from deploy.node.notices.metadata import Metadata, Unanswered
from tests.metadata_server import AWS_TOKEN, EVENTS, LIFECYCLE, NAME, PREEMPTED, REBALANCE, SPOT, State
from tests.unit.deploy.notices.conftest import Service

NOON = 1795780800.0  #: 2026-11-27T12:00:00Z
TERMINATE = '{"action": "terminate", "time": "2026-11-27T12:00:00Z"}'
SPOT_NOTICE = CloudNotice("aws", "spot", deadline_s=NOON, event="2026-11-27T12:00:00Z")
HINT = '{"noticeTime": "2026-11-27T12:00:00Z"}'


def azure(*events: dict[str, Any]) -> str:
    """The document of scheduled events."""
    return json.dumps({"DocumentIncarnation": 2, "Events": events})


def event(kind: str = "Preempt", *machines: str, before: str = "Fri, 27 Nov 2026 12:00:00 GMT") -> dict[str, Any]:
    """One of them."""
    return {
        "EventId": f"{kind}-1",
        "EventStatus": "Scheduled" if before else "Started",
        "EventType": kind,
        "ResourceType": "VirtualMachine",
        "Resources": machines or ("gpu_3",),
        "NotBefore": before,
        "Description": "",
        "EventSource": "Platform",
        "DurationInSeconds": -1,
    }


@pytest.mark.parametrize("action", ["terminate", "stop", "hibernate"])
def test_aws_interruptions(action: str) -> None:
    """Each action ends the machine at its time."""
    assert interruption(TERMINATE.replace("terminate", action)) == SPOT_NOTICE


@pytest.mark.parametrize("time", ["soon", ""])
def test_an_interruption_without_a_time_ends_the_machine(time: str) -> None:
    """Only its deadline is unknown."""
    notice = interruption(json.dumps({"action": "terminate", "time": time}))
    assert notice is not None
    assert (notice.kind, notice.deadline_s, notice.is_hint) == ("spot", None, False)


def test_aws_other_items() -> None:
    """A group that takes its instance out tells no time; a recommendation is a hint."""
    assert lifecycle("Terminated") == CloudNotice("aws", "autoscaling", event="Terminated")
    assert lifecycle("InService\n") is None
    assert rebalance(HINT) == CloudNotice("aws", "rebalance", is_hint=True, event="2026-11-27T12:00:00Z")


def test_gcp_preemption() -> None:
    """The machine ends 30 s later."""
    assert preempted("FALSE", now_s=NOON) is None
    assert preempted("TRUE\n", now_s=NOON) == CloudNotice("gcp", "preempted", deadline_s=NOON + 30)


def test_azure_events() -> None:
    """Those of this machine count, the first to come; a freeze and other machines' events do not."""
    later = "Fri, 27 Nov 2026 12:15:00 GMT"
    text = azure(event("Freeze"), event("Preempt", "gpu_4"), event("Redeploy", before=later), event("Terminate"))
    assert first_end(text, machine="GPU_3") == CloudNotice("azure", "terminate", deadline_s=NOON, event="Terminate-1")
    assert first_end(azure(event("Freeze"), event("Preempt", "gpu_4")), machine="gpu_3") is None
    assert first_end(azure(), machine="gpu_3") is None
    begun = first_end(azure(event("Reboot", before=later), event(before="")), machine="gpu_3")
    assert begun == CloudNotice("azure", "preempt", event="Preempt-1")


@pytest.mark.parametrize("text", ["", "<html>", "[]", "null", "7", '{"Events": 7}', '{"Events": [{}]}', "\x00"])
@pytest.mark.parametrize(
    "read",
    [interruption, rebalance, lambda text: preempted(text, now_s=NOON), lambda text: first_end(text, machine="")],
)
def test_garbage_is_no_notice(read: Callable[[str], CloudNotice | None], text: str) -> None:
    """Nothing is known then."""
    with pytest.raises(Unanswered):
        read(text)


def test_aws_is_asked_with_a_token_that_is_renewed(service: Service) -> None:
    """404 says that there is no notice. At 401 there is a new token; only then the service has failed."""
    aws = Aws(service.client)
    assert aws.is_here()
    assert aws.look() is None
    service.now = State("aws", {SPOT: TERMINATE, LIFECYCLE: "Terminated", REBALANCE: HINT}, token="t2")
    assert aws.look() == SPOT_NOTICE
    assert sum(AWS_TOKEN in line for line in service.asked) == 2
    service.now = State("aws", {LIFECYCLE: "InService", REBALANCE: HINT}, token="t2")
    assert aws.look() == CloudNotice("aws", "rebalance", is_hint=True, event="2026-11-27T12:00:00Z")
    service.now = State("aws", fault="401")
    with pytest.raises(Unanswered, match="401"):
        aws.look()


def test_gcp_waits_for_a_change(service: Service) -> None:
    """The question stays open until the word changes; the time of the end counts from the first word."""
    service.now, walls = State("gcp", {PREEMPTED: "FALSE"}), iter([NOON, NOON + 1, NOON + 2, NOON + 3])
    gcp = Gcp(service.client, wall=lambda: next(walls))
    assert gcp.is_here()
    assert gcp.look() is None
    threading.Timer(0.2, lambda: setattr(service, "now", State("gcp", {PREEMPTED: "TRUE"}))).start()
    assert gcp.look() == CloudNotice("gcp", "preempted", deadline_s=NOON + 31)
    assert "wait_for_change=true&last_etag=" in service.asked[-1]
    service.now = State("gcp", {PREEMPTED: "TRUE"}, fault="503")
    with pytest.raises(Unanswered, match="503"):
        gcp.look()
    service.now = State("gcp", {PREEMPTED: "TRUE"})
    assert gcp.look() == CloudNotice("gcp", "preempted", deadline_s=NOON + 31)
    assert service.asked[-1] == f"GET {PREEMPTED}"  # after a failure nothing is waited for


def test_azure_takes_an_acknowledgement(service: Service) -> None:
    """Of the event that was told, after which the cloud need not wait."""
    service.now = State("azure", {NAME: "gpu_3", EVENTS: azure(event("Preempt", "gpu_4"))})
    cloud = Azure(service.client)
    assert cloud.is_here()
    assert cloud.look() is None
    service.now = State("azure", {NAME: "gpu_3", EVENTS: azure(event())})
    notice = cloud.look()
    assert notice == CloudNotice("azure", "preempt", deadline_s=NOON, event="Preempt-1")
    cloud.acknowledge(notice)
    method, path, body = service.asked[-1].split(" ", 2)
    assert (method, path.partition("?")[0]) == ("POST", EVENTS)
    assert json.loads(body) == {"StartRequests": [{"EventId": "Preempt-1"}]}


@pytest.fixture
def closed() -> Iterator[str]:
    """An address where nobody listens, and that nobody else can take."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{door.getsockname()[1]}"


def no_pause(_: float) -> None:
    """There is nothing to wait for."""
    pytest.fail("it asks again")


@pytest.mark.parametrize("make", [Aws, Gcp, Azure])
def test_a_service_that_fails_tells_nothing(
    make: Callable[[Metadata], metadata.Cloud], service: Service, closed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It refuses, breaks, hangs, or is gone."""
    cloud = make(service.client)
    for fault in ("400", "403", "429", "500", "503"):
        service.now = State(cloud.name, fault=fault)
        with pytest.raises(Unanswered, match=fault):
            cloud.look()
    nobody = Metadata(closed)
    with pytest.raises(Unanswered, match="ConnectError"):
        make(nobody).look()
    nobody.close()
    monkeypatch.setattr(metadata, "_ANSWER_S", 0.2)
    service.now = State(cloud.name, fault="hang")
    with pytest.raises(Unanswered, match="ReadTimeout"):
        cloud.look()


@pytest.mark.parametrize(
    ("name", "items"),
    [("aws", {}), ("gcp", {PREEMPTED: "FALSE"}), ("azure", {NAME: "gpu_3"}), ("azure", {EVENTS: azure()})],
)
def test_the_cloud_is_found(service: Service, name: str, items: dict[str, str]) -> None:
    """By what only its service answers, also if the service fails at first."""
    service.now = State(name, items, fault="503")
    pauses = list[float]()

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        service.now = State(name, items)

    cloud = find_cloud("auto", base=service.base, pause=pause)
    assert cloud is not None
    cloud.service.close()
    assert (cloud.name, len(pauses)) == (name, 1)


@pytest.fixture
def debug_lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return the log of the search for the cloud."""
    caplog.set_level("DEBUG", logger="deploy")
    return lambda: [record.message for record in caplog.records if record.name.startswith("deploy")]


def test_outside_a_cloud_there_is_one_connection(closed: str, debug_lines: Callable[[], list[str]]) -> None:
    """Nobody is listening there: no question, no second try, one debug line."""
    assert find_cloud("auto", base=closed, pause=no_pause) is None
    assert len(debug_lines()) == 1


def test_another_service_is_asked_once(service: Service, debug_lines: Callable[[], list[str]]) -> None:
    """A service of any kind knows none of the questions."""
    service.now = State("aws", fault="404")
    assert find_cloud("auto", base=service.base, pause=no_pause) is None
    assert len(service.asked) == 4
    assert len(debug_lines()) == 1


def test_a_setting_names_the_cloud(service: Service, debug_lines: Callable[[], list[str]]) -> None:
    """Then nothing is asked until somebody looks; `none` is silent, too."""
    assert find_cloud("none", base=service.base, pause=no_pause) is None
    cloud = find_cloud("aws", base=service.base, pause=no_pause)
    assert isinstance(cloud, Aws)
    assert (service.asked, debug_lines()) == ([], [])
    assert cloud.look() is None
    assert service.asked
    cloud.service.close()
