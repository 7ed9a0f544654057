"""Note the losses that a check found, so that a farm makes the objects again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress

from farm.contract import JobId
from farm.errors import Conflict, NotFound
from farm.jobs.fsck.findings import Finding
from farm.jobs.jobs import Jobs
from farm.jobs.losses import loss_event
from farm.store import Store


def have_made_again(store: Store, findings: Iterable[Finding], *, storage: str) -> int:
    """Write what a check found lost into the ledgers; a farm then makes it again. Return the number of videos."""
    jobs, lost = Jobs(store), defaultdict[JobId, list[Finding]](list)
    for finding in findings:
        if finding.video is not None and finding.order is not None:
            lost[JobId(finding.video)].append(finding)
    done = 0
    for job_id, found in lost.items():
        orders = {finding.order: finding.entry for finding in found if finding.order and finding.entry is not None}
        why = "; ".join(f"{finding.key}: {finding.detail}" for finding in found)
        with suppress(Conflict, NotFound):  # a farm has just done it, or the video is deleted
            state = jobs.ledger.head(job_id).state
            jobs.note_losses(job_id, loss_event(state, orders, why, storage=storage))
            done += 1
    return done
