"""Jobs as the store has them: accepting, finding, changing, sweeping, erasing."""

from farm.jobs.jobs import Jobs, Record, Wish

__all__ = ["Jobs", "Record", "Wish"]
