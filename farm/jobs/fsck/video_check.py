"""Check one video: its ledger, its request, its artifacts, and its places in the index and among the open ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping

from pydantic import ValidationError

from farm.contract import Artifact, Job, JobId
from farm.errors import FarmError, NotFound, StoreError
from farm.jobs.fsck.findings import Finding, Kind, Look, seqs_of
from farm.jobs.jobs import Record
from farm.jobs.losses import SHARED, lost_for_good, what_is_left
from farm.ledger import Entry
from farm.ledger import layout as at
from farm.ledger.states import OPEN, accepted, advance, is_shared, made, maker_of
from farm.receiver import Receiver
from farm.store import ObjectMissing

_TOMBSTONE_S = 3600.0  #: a deleted video's log stays this long (farm/jobs/sweep.py)


class VideoCheck:
    """The check of one video, whose objects have these keys."""

    def __init__(self, look: Look, job: JobId, keys: list[str]) -> None:
        self._look, self._job, self._keys = look, job, keys
        self._named: dict[str, Artifact] = {}  # by ledger entries and the request; key -> artifact
        self._made: dict[str, tuple[str, int]] = {}  # by an order; key -> the order, and the entry that names it
        self._attempts: set[int] = set()  # that the ledger leased
        self._unreadable: set[int] = set()  # ledger entries
        self._asked: Job | None = None
        self._is_whole = True  # all entries and the request can be read
        self.bytes = 0  #: read and compared

    def findings(self) -> list[Finding]:
        """Return the faults; none if the video is deleted while we look.

        Raises: StoreError if the store does not answer at all.
        """
        faults: list[Finding] = []
        try:
            faults.extend(self._faults())
        except ObjectMissing:  # erased just now
            pass
        except StoreError as err:
            key = str(err.facts.get("key", at.video_folder(self._job)))
            faults.append(self._fault("damaged", key, self._look.explain(err)))
        head = self._look.newest(self._job, self._look.log(self._job)) if faults else None
        is_deleted = head is not None and head.state.status == "deleted"
        return [fault for fault in faults if not is_deleted or fault.kind in {"dangling", "leftover"}]

    def _faults(self) -> Iterator[Finding]:
        look, job, keys = self._look, self._job, self._keys
        parts = {key: at.part_of(key.removeprefix(at.video_folder(job))) for key in keys}
        if at.REQUEST not in parts.values() and look.exists(at.import_key(job)):
            yield from look.all_dangling([*keys, at.import_key(job)], "part of an incomplete import; repeat it", job)
            return
        seqs = seqs_of(keys)
        if not seqs:
            yield from self._without_log(parts)
            return
        last = look.newest(job, seqs)
        if last is not None and last.state.status == "deleted":
            if not look.is_marked(job) and look.now - last.at > _TOMBSTONE_S + look.grace_s:
                yield from look.all_dangling(keys, "part of a deleted video", job)
            return
        faults = list(self._entries(seqs[-1]))
        if last is None:
            yield from faults
            return
        faults.extend(self._request(last))
        for artifact in self._named.values():
            faults.extend(self._artifact(artifact))
        yield from self._judged(faults, last, is_head=last.seq == seqs[-1])
        if at.receiver_key(job) in parts:
            yield from self._receiver()
        if self._is_whole:  # else the part that cannot be read may name them
            yield from self._unnamed(key for key, part in parts.items() if part not in at.RESERVED)

    def _judged(self, faults: list[Finding], last: Entry, *, is_head: bool) -> Iterator[Finding]:
        """Say of each lost object how it comes again, or what is left without it; one that nothing needs is no fault.

        last: the newest entry that can be read; is_head: there is no newer one, so the farm can go on with the video.
        """
        there = made(last.state)
        unnamed = {order: seq for order, seq in there.items() if seq in self._unreadable}
        for order, seq in unnamed.items():
            key = at.entry_key(self._job, seq)
            if key not in self._made:  # entry 0 of a remix names several
                faults.append(self._fault("missing", key, f"the entry that names what {order} made is lost"))
                self._made[key] = order, seq
        gone = {fault.key for fault in faults if fault.kind in {"missing", "damaged"}}
        makers = {key: self._made[key] for key in gone if key in self._made}
        lost = {order for order, seq in makers.values() if there.get(order) == seq} | unnamed.keys()
        for_good, inputs = lost, set[str]()
        if self._asked is not None and is_head:
            inputs = {name for name, artifact in self._asked.inputs.items() if artifact.key in gone}
            for_good = lost_for_good(Record(self._asked, last), lost, inputs)
        left = what_is_left(last.state.model_copy(update={"lost": (*last.state.lost, *lost)}))
        for fault in faults:
            order, seq = makers.get(fault.key, ("", 0))
            if fault.kind not in {"missing", "damaged"} or (not order and not inputs):
                yield fault
            elif order.startswith("preview/") and is_shared(last.state, maker_of(order)):
                yield fault.model_copy(update={"detail": f"{fault.detail}; a remix shared this preview"})
            elif order in lost - for_good and there.get(order) == seq:
                yield fault.model_copy(update={"order": order, "entry": seq})
            elif order and there.get(order) != seq:  # made again since, or of use no more
                if fault.kind == "damaged":
                    yield fault.model_copy(update={"kind": "leftover", "detail": "it is damaged, and nothing needs it"})
            else:
                why = f"{SHARED}; " if is_shared(last.state, order) else ""
                yield fault.model_copy(update={"detail": f"{fault.detail}; {why}{left}"})

    def _without_log(self, parts: dict[str, str]) -> Iterator[Finding]:
        look, job = self._look, self._job
        if not at.STAGED.issuperset(parts.values()):
            yield self._fault("ledger", at.log_folder(job), "the video has artifacts but no ledger entry")
        elif not (look.is_marked(job) and look.is_lost_member(job)):  # else the next sweep begins its ledger
            yield from look.all_dangling(parts, "part of a video that was never accepted, or is being erased", job)

    def _entries(self, last: int) -> Iterator[Finding]:
        """Check that each entry follows from the one before; collect the artifacts that they name."""
        before: Entry | None = None
        for seq in range(last + 1):
            key = at.entry_key(self._job, seq)
            try:
                entry = self._look.ledger.entry(self._job, seq)
            except StoreError as err:
                gap = "the ledger has a gap" if isinstance(err, ObjectMissing) else self._look.explain(err)
                yield self._fault("ledger", key, gap)
                before, self._is_whole = None, False
                self._unreadable.add(seq)
                continue
            if (seq == 0 or before is not None) and (detail := _misfit(before, entry, seq)):
                yield self._fault("ledger", key, detail)
            self._take(entry)
            before = entry
        for entry in self._look.ledger.following(self._job, last):  # written since we listed the objects
            self._take(entry)

    def _request(self, last: Entry) -> Iterator[Finding]:
        """Check the request, the index and the marker; collect the inputs."""
        look, key = self._look, at.request_key(self._job)
        whole, self._is_whole = self._is_whole, False
        try:
            job = Job.model_validate_json(look.store.get(key))
        except ObjectMissing:
            yield self._fault("request", key, "the request is missing")
            return
        except ValidationError as err:
            yield self._fault("request", key, f"the request cannot be read: {err.error_count()} faults")
            return
        except StoreError as err:
            yield self._fault("request", key, self._look.explain(err))
            return
        if job.id != self._job:
            yield self._fault("request", key, f"this is the request of {job.id[:60]}")
            return
        self._is_whole, self._asked = whole, job
        self._name(job.inputs)
        if not look.exists(at.index_key(job)):
            yield self._fault("unlisted", at.index_key(job), "no list shows the video: its index entry is missing")
        if last.state.status in OPEN and not look.is_marked(job.id) and not self._has_ended(last):
            detail = "a restart would forget the video: it has not ended, and its marker is missing"
            yield self._fault("unmarked", at.marker_key(job.id), detail)

    def _artifact(self, artifact: Artifact) -> Iterator[Finding]:
        digest = hashlib.sha256()
        try:
            for piece in self._look.store.open_read(artifact.key):
                digest.update(piece)
                self.bytes += len(piece)
        except ObjectMissing:
            yield self._fault("missing", artifact.key, f"{artifact.bytes} bytes are gone")
            return
        except StoreError as err:  # one object must not end the walk
            yield self._fault("damaged", artifact.key, self._look.explain(err))
            return
        if digest.hexdigest() != artifact.sha256:
            yield self._fault("damaged", artifact.key, "its sha256 is not the one in the ledger")

    def _has_ended(self, last: Entry) -> bool:
        """Tell whether the video ended since we read `last`."""
        try:
            return self._look.ledger.head(self._job, after=last).state.status not in OPEN
        except NotFound:
            return True
        except StoreError:  # `_entries` has reported it; it may well be the end
            return True

    def _receiver(self) -> Iterator[Finding]:
        key = at.receiver_key(self._job)
        try:
            Receiver.model_validate_json(self._look.store.get(key))
        except ObjectMissing:  # erased just now
            return
        except ValidationError as err:
            yield self._fault("damaged", key, f"the webhook's receiver cannot be read: {err.error_count()} faults")

    def _unnamed(self, keys: Iterable[str]) -> Iterator[Finding]:
        """Yield the objects that nothing names. If a lease was given for one, its worker has died or was too late."""
        for key in keys:
            if key in self._named:
                continue
            if at.parse_attempt(key) in self._attempts:
                yield from self._look.dangling(
                    key, "a worker wrote it and did not commit it", self._job, kind="leftover"
                )
            else:
                yield from self._look.dangling(key, "no ledger entry names it", self._job)

    def _take(self, entry: Entry) -> None:
        self._name(entry.event.artifacts)
        for name, artifact in entry.event.artifacts.items():
            is_preview = entry.seq == 0 and name.startswith("preview/")  # without it, the shared section is whole
            self._made[artifact.key] = name if is_preview else maker_of(name, entry.event), entry.seq
        if entry.event.name == "leased":
            self._attempts.add(entry.seq)

    def _name(self, artifacts: Mapping[str, Artifact]) -> None:
        self._named |= {artifact.key: artifact for artifact in artifacts.values()}

    def _fault(self, kind: Kind, key: str, detail: str) -> Finding:
        return Finding(kind=kind, key=key, video=self._job, detail=detail)


def _misfit(before: Entry | None, entry: Entry, seq: int) -> str:
    """Return why `entry` cannot follow `before`; empty if it can."""
    try:
        if before is None:
            state = accepted(entry.event)
        else:
            state = advance(before.state, entry.event, seq=entry.seq, at=entry.at)
    except FarmError as err:
        return f"{entry.event.name} is not legal here: {err}"
    return "" if (state, seq) == (entry.state, entry.seq) else "its state does not follow from the entry before"
