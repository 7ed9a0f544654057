"""A check of the store, which only reads, and the repair of its findings."""

from farm.jobs.fsck.checker import DAY_S, Checker, video_count
from farm.jobs.fsck.findings import Finding
from farm.jobs.fsck.repair import have_made_again

__all__ = ["DAY_S", "Checker", "Finding", "have_made_again", "video_count"]
