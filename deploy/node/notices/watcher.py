"""Watch the cloud of this machine, and pass on to the farm the notices that the machine ends."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Self

from actors.notices.mail import has_left, post_notice
from actors.notices.notice import CloudNotice
from deploy.node.notices.find import find_cloud
from deploy.node.notices.metadata import Cloud, Unanswered
from farm.errors import FarmError
from farm.logs import setup_logs
from farm.settings import FarmSettings

log = logging.getLogger(__name__)
_LOOK_S = 1.0
_RARELY_S = 10.0  #: between two looks at a service that has been away for long
_LONG = 10  #: looks
_TELL_S = 1.0  #: until the farm is told again, if it did not answer
_OUTLIVED_S = 600.0  #: a machine that lives so long after its end was not ended


@dataclass(frozen=True, eq=False)
class _Place:
    """A machine in a farm, for as long as its Ray runs: the address of Ray's tables, and its name or id there."""

    address: str
    node: str


class Watch:
    """The notice that stands, and the farm that must know of it."""

    def __init__(
        self,
        find: Callable[[], Cloud | None],
        *,
        post: Callable[[str, str, CloudNotice | None], bool] = post_notice,
        left: Callable[[str, str, CloudNotice], bool] = has_left,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Begin without a notice. `find` gives the cloud, `post` and `left` reach the farm, `wall` is unix seconds."""
        self._find, self._post, self._has_left = find, post, left
        self._wall = wall
        self._place: _Place | None = None
        self._told: tuple[_Place | None, CloudNotice | None] = None, None
        self._over: CloudNotice | None = None  # the notice after which this machine has no worker any more
        self._outlived: CloudNotice | None = None
        self._failures = 0
        self._news, self._closed = threading.Event(), threading.Event()
        self.notice: CloudNotice | None = None
        self._hinted_at = 0.0  # when the hint that stands came; it may have changed since

    @property
    def hinted_s(self) -> float:
        """How long a hint has stood by now; 0: none does."""
        notice = self.notice
        return time.monotonic() - self._hinted_at if notice is not None and notice.is_hint else 0.0

    @contextlib.contextmanager
    def watching(self) -> Iterator[Self]:
        """Watch in threads, if there is a cloud."""
        threading.Thread(target=self._run, name="notices", daemon=True).start()
        try:
            yield self
        finally:
            self._closed.set()
            self._news.set()

    @contextlib.contextmanager
    def telling(self, address: str, node: str) -> Iterator[None]:
        """Tell the farm with Ray's tables at `address` while this machine is there, by its name or Ray's id."""
        self._place = _Place(address, node)
        self._news.set()
        try:
            yield
        finally:
            self._place = None

    def _run(self) -> None:
        cloud = self._find()
        if cloud is None:
            return
        threading.Thread(target=self._tell, args=(cloud,), name="notices-told", daemon=True).start()
        pause_s = 0.0
        while not self._closed.wait(pause_s):
            begun = time.monotonic()
            try:
                self.look(cloud)
            except Exception:  # border: the thread's top; one strange answer must not end the watch
                log.exception("metadata_failed", extra={"cloud": cloud.name})
            every_s = _LOOK_S if self._failures < _LONG else _RARELY_S
            pause_s = max(0.0, every_s - (time.monotonic() - begun))

    def look(self, cloud: Cloud) -> None:
        """Ask the cloud once. While it does not answer, its last answer holds."""
        try:
            notice = self._still_due(cloud.look())
        except Unanswered as err:
            if not self._failures:
                log.warning("metadata_unanswered: %s", err, extra={"cloud": cloud.name})
            self._failures += 1
            return
        self._failures = 0
        if _event(notice) != _event(self.notice):  # another time of the same event is no other notice
            _say(notice, cloud)
            if self.notice is None or not self.notice.is_hint:
                self._hinted_at = time.monotonic()
            self.notice = notice
            self._news.set()

    def tell(self, cloud: Cloud) -> bool:
        """Tell the farm what it does not know yet; return whether nothing is left to do."""
        place, notice = self._place, self.notice
        if place is None:
            return True
        is_known = self._told == (place, notice) or (notice is None and self._told[0] is not place)
        try:
            if not is_known and not self._post(place.address, place.node, notice):
                return False
            self._told = place, notice
            if notice is None:
                self._over = None
                return True
            return notice.is_hint or notice == self._over or self._is_over(cloud, place, notice)
        except (FarmError, Unanswered) as err:
            log.debug("notice_untold: %s", err)
            return False

    def _tell(self, cloud: Cloud) -> None:
        is_done = True
        while not self._closed.is_set():
            if is_done:
                self._news.wait()
                self._news.clear()
            try:
                is_done = self.tell(cloud)
            except Exception:  # border: as in `_run`
                log.exception("notice_untold")
                is_done = False
            if not is_done:
                self._closed.wait(_TELL_S)

    def _is_over(self, cloud: Cloud, place: _Place, notice: CloudNotice) -> bool:
        """Whether this machine has no worker any more; then the cloud need not wait."""
        if not self._has_left(place.address, place.node, notice):
            return False
        cloud.acknowledge(notice)
        log.info("notice_heeded", extra={"cloud": notice.cloud, "kind": notice.kind})
        self._over = notice
        return True

    def _still_due(self, notice: CloudNotice | None) -> CloudNotice | None:
        """Return the notice, or None if the machine has outlived it."""
        if notice is None or notice.deadline_s is None or self._wall() - notice.deadline_s < _OUTLIVED_S:
            return notice
        if _event(notice) != _event(self._outlived):
            log.warning("notice_outlived: this machine is still there, so it works on", extra=_facts(notice))
        self._outlived = notice
        return None


def watch_cloud(settings: FarmSettings) -> contextlib.AbstractContextManager[Watch]:
    """Watch the cloud of this machine, if there is one."""
    setup_logs(style=settings.log_format, level=settings.log_level)
    return Watch(lambda: find_cloud(settings.cloud)).watching()


def _event(notice: CloudNotice | None) -> tuple[str, ...]:
    return () if notice is None else (notice.cloud, notice.kind, notice.event)


def _facts(notice: CloudNotice) -> dict[str, str]:
    return {"cloud": notice.cloud, "kind": notice.kind, "deadline": notice.deadline}


def _say(notice: CloudNotice | None, cloud: Cloud) -> None:
    if notice is None:
        log.warning("notice_taken_back", extra={"cloud": cloud.name})
    elif notice.is_hint:
        words = "this machine may end soon; its workers finish what they do and begin nothing"
        log.warning("notice: %s", words, extra=_facts(notice))
    else:
        words = "this machine ends; its workers save their last finished step and give their sections back"
        log.warning("notice: %s", words, extra=_facts(notice))
