"""Videos as the store holds them: accepted, found, changed, swept and erased."""

from farm.jobs.accept import Submission
from farm.jobs.jobs import Jobs, Record, Wish

__all__ = ["Jobs", "Record", "Submission", "Wish"]
