"""Who renders what next: open videos, the roster of workers, the scheduler."""
