"""Check a store: every sha256 in a ledger, every link between objects, and every object that nothing refers to.

The check only reads. It goes video by video, so its memory does not grow with the store, and a farm may run meanwhile.
A recent object does not count as dangling: a worker writes an artifact before the ledger entry that names it, and the
ingress writes the parts of a new video one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby
from typing import TypeVar

from farm.contract import Batch, JobId
from farm.errors import Damaged, StoreError
from farm.jobs.embeddings import unsealed
from farm.jobs.files import check_stored_file
from farm.jobs.fsck.findings import Finding, Look
from farm.jobs.fsck.video_check import VideoCheck
from farm.jobs.scripts import check_script
from farm.ledger import layout as at
from farm.ledger.notes import Claim, OwnPresets, read_note
from farm.store import ObjectMissing, Store, keys_below
from farm.store.probe import PROBES, SCRATCH
from framefarm_client.names import is_id

T = TypeVar("T")
DAY_S = 24 * 3600.0


class Checker:
    """One walk over a store."""

    def __init__(
        self, store: Store, *, now: float, grace_s: float, on_video: Callable[[int], None] = lambda _: None
    ) -> None:
        """now: unix seconds. grace_s: younger objects do not count as dangling. on_video: gets each video's bytes."""
        self._look, self._on_video = Look(store, now=now, grace_s=grace_s), on_video
        self.videos = 0
        self.bytes = 0  #: read and compared

    def findings(self) -> Iterator[Finding]:
        """Yield every fault, and every leftover, as it is found; a damaged object does not end the walk.

        Raises: StoreError if the store does not answer.
        """
        store = self._look.store
        for name, keys in groupby(keys_below(store, at.VIDEOS), key=lambda key: key.split("/")[1]):
            if is_id(name):
                check = VideoCheck(self._look, JobId(name), list(keys))
                yield from check.findings()
                self.bytes += check.bytes
                self._on_video(check.bytes)
            else:
                for key in keys:
                    yield Finding(kind="foreign", key=key, detail="not an object of this farm")
                self._on_video(0)
            self.videos += 1
        for prefix, judge in (
            (at.INDEX, self._indexed),
            (at.OPEN_MARKERS, self._marker),
            (at.IMPORTS, self._import),
            (at.HOOKS, self._webhook),
            (at.BATCHES, self._batch),
            (at.CLAIMS, self._claim),
            (at.EMBEDDINGS, self._embedding),
            (at.PRESETS, self._presets),
            (at.FILES, self._file),
            (at.SCRIPTS, self._script),
            (at.SECRETS, self._seal),
            (PROBES, self._probe),
        ):
            for key in keys_below(store, prefix):
                try:
                    yield from judge(key)
                except ObjectMissing:  # erased just now
                    continue
                except StoreError as err:  # one object must not end the walk
                    yield Finding(kind="damaged", key=key, detail=self._look.explain(err))

    def _indexed(self, key: str) -> Iterator[Finding]:
        listed = at.parse_index(key)
        if listed is None or not self._look.has_request(listed.job):
            yield from self._look.dangling(key, "an index entry without a video", listed and listed.job)

    def _marker(self, key: str) -> Iterator[Finding]:
        job = at.parse_marker(key)
        seqs = self._look.log(job) if job else []
        if job is None or (not seqs and not self._look.is_lost_member(job)):
            yield from self._look.dangling(key, "a marker without a video", job)
        elif (ended := self._look.ended(job, seqs)) and self._look.now - (
            ended.state.ended_at or 0.0
        ) > self._look.grace_s:
            yield from self._look.dangling(key, "the marker of a video that has ended", job)

    def _import(self, key: str) -> Iterator[Finding]:
        job = at.parse_import(key)
        if job is not None and self._look.has_request(job):
            yield from self._look.dangling(key, "the marker of a finished import", job)

    def _webhook(self, key: str) -> Iterator[Finding]:
        hook = at.parse_hook(key)
        seqs = self._look.log(hook.job) if hook else []
        if hook is None or not seqs:
            yield from self._look.dangling(key, "a webhook without a video", hook and hook.job)
        elif (ended := self._look.ended(hook.job, seqs)) and self._look.exists(
            at.outcome_key(hook.job, ended.end, hook.whose)
        ):
            yield from self._look.dangling(key, "a webhook that was delivered or given up", hook.job)

    def _batch(self, key: str) -> Iterator[Finding]:
        batch = read_note(self._look.store, key, Batch)
        if not any(map(self._look.has_request, batch.videos)):
            yield from self._look.dangling(key, "a batch without a video")

    def _claim(self, key: str) -> Iterator[Finding]:
        claim = read_note(self._look.store, key, Claim)
        if not self._look.has_request(claim.id):
            yield from self._look.dangling(key, "an idempotency claim without a video", claim.id)

    def _embedding(self, key: str) -> Iterator[Finding]:
        found = at.parse_embedding(key)
        if found and found.user:
            if not self._look.has_request(found.user):
                yield from self._look.dangling(key, "used by a video that does not exist", found.user)
        elif found and not self._look.store.list(at.users_folder(found.name), limit=1):
            yield from self._look.dangling(key, "no video uses this embedding")
        elif found and unsealed(self._look.store.get(key)) is None:
            detail = "this embedding is damaged: the next video that wants it makes it again"
            yield Finding(kind="leftover", key=key, detail=detail)

    def _presets(self, key: str) -> Iterator[Finding]:
        try:
            read_note(self._look.store, key, OwnPresets)
        except Damaged as err:
            yield Finding(kind="damaged", key=key, detail=f"{err}; without it, the presets of this owner are lost")

    def _kept(
        self, key: str, *, parse: Callable[[str], T | None], check: Callable[[Store, T], None], what: str, lost: str
    ) -> Iterator[Finding]:
        """Judge an object that goes with its age. what: it is; lost: what its damage means."""
        found = parse(key)
        if found is None:
            yield Finding(kind="foreign", key=key, detail=f"not {what}")
            return
        try:
            check(self._look.store, found)
        except ObjectMissing:  # it has gone just now
            return
        except Damaged as err:
            yield Finding(kind="damaged", key=key, detail=f"{err}; {lost}")

    def _file(self, key: str) -> Iterator[Finding]:
        lost = "videos have copies of what they use"
        return self._kept(
            key, parse=at.parse_file, check=check_stored_file, what="a file that an owner sent", lost=lost
        )

    def _script(self, key: str) -> Iterator[Finding]:
        lost = "without it, the script misses an answer"
        return self._kept(key, parse=at.parse_script, check=check_script, what="a note of a gradio script", lost=lost)

    def _seal(self, key: str) -> Iterator[Finding]:
        if key == at.SEAL and len(self._look.store.get(key)) != at.SEAL_BYTES:
            detail = f"it is not a secret of {at.SEAL_BYTES} bytes; without it, people sign in again, and links end"
            yield Finding(kind="damaged", key=key, detail=detail)

    def _probe(self, key: str) -> Iterator[Finding]:
        if key.startswith(SCRATCH):
            yield from self._look.dangling(key, "left over from a trial of the store")


def video_count(store: Store) -> int:
    """Return how many videos the index lists, for a progress bar."""
    return sum(1 for _ in keys_below(store, at.INDEX))
