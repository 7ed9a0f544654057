"""Names under which the farm's actors find each other in a Ray cluster."""

NAMESPACE = "framepack-farm"
DISPATCHER = "dispatcher"


def worker_name(slot: int) -> str:
    """The actor name of the worker in `slot`; a worker that replaces a dead one takes the same name."""
    return f"worker-{slot}"
