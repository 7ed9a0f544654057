"""The middle of a section, in which a worker stands still while a test does something to its farm."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import psutil

from farm.contract import slot_of
from farm.jobs import Jobs
from farm.store import FolderStore
from tests.farm_process import FarmProcess
from tests.patience import wait_for

BEAT_S = "0.1"  #: FARM_HEARTBEAT_S of such farms, so that tests hear of steps that take hundredths of a second
STEPS = 100  #: of a section of such videos; with them it lasts longer than it takes to hear of its middle
_IN_THE_MIDDLE = range(8, 60)


class Middle(NamedTuple):
    """Where a video stands still."""

    worker: psutil.Process  #: stopped by SIGSTOP
    slot: str
    section: int
    step: int  #: the last finished step that was heard of


@contextlib.contextmanager
def middle_of_section(
    farm: FarmProcess, video: str, *, section: int = 0, worker_in: Callable[[str], psutil.Process] | None = None
) -> Iterator[Middle]:
    """Stop the worker in the middle of that section or of a later one; let it go on afterwards, if it still lives.

    worker_in: finds the worker's process by its slot. By default the farm has one worker, its own.
    """
    jobs = Jobs(FolderStore(farm.storage))

    def there() -> Middle | None:
        state = farm.http.get(f"/v1/videos/{video}").json()
        assert state["status"] in {"queued", "in_progress"}, state
        done, step = state["sections_done"], state["step"] or 0
        if state["stage"] != "section" or done < section or step not in _IN_THE_MIDDLE:
            return None
        slot = slot_of(state["worker"])
        worker = worker_in(slot) if worker_in else farm.actor("RenderWorker")
        worker.suspend()
        if f"section/{done}" in jobs.get(video, owner=None).head.state.leases:
            return Middle(worker, slot, done, step)
        worker.resume()  # it was quicker
        return None

    middle = wait_for(there, seconds=120, what=f"the middle of section {section}", pause_s=0.1)
    try:
        yield middle
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            middle.worker.resume()
