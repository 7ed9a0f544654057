"""Names under which the farm's parts find each other in a Ray cluster."""

NAMESPACE = "framepack-farm"
DISPATCHER = "dispatcher"
WORKER_RESOURCE = "farm_worker"  #: a node's Ray resource: how many workers it has room for
ON_HEAD = {"node:__internal_head__": 0.001}  #: a share of the resource that only the cluster's head has
NODE_LABEL = "farm/node"  #: a node's Ray label: its name in the farm


def worker_name(slot: str, node_id: str) -> str:
    """The actor name of the worker in `slot`; a worker that replaces a dead one takes the same name."""
    return f"{slot}@{node_id[:16]}"
