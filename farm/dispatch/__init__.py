"""Choose who renders what next: open videos, the crew of workers, leases between them, the scheduler."""
