"""How much may wait: for one owner (FARM_MAX_OPEN_VIDEOS) and for the farm (FARM_MAX_QUEUED). Over it: 429, at once.

The dispatcher counts. Where it does not answer nothing is refused: a video that was accepted is safe in the store, and
a farm that is short of its dispatcher for seconds must not turn users away. Requests at the same moment may overshoot.
"""

from __future__ import annotations

from farm.errors import Overloaded, Quota, Unavailable
from farm.parts import Parts

_QUOTA_RETRY_S = 30  #: when it may be worth asking again: some section will have ended
_QUEUE_RETRY_S = 10


async def check_room(parts: Parts, owner: str, *, wanted: int) -> None:
    """See that `wanted` more videos of this owner have room. Raises: Quota, Overloaded."""
    most, most_of_owner = parts.settings.max_queued, parts.settings.max_open_videos
    try:
        load = await parts.door.load(owner)
    except Unavailable:
        return
    if most_of_owner is not None and load.of_owner + wanted > most_of_owner:
        raise Quota(
            f"you have {load.of_owner} videos that have not ended; with {wanted} more it would be over "
            f"{most_of_owner} (FARM_MAX_OPEN_VIDEOS); wait for one to end, or cancel it",
            retry_after_s=_QUOTA_RETRY_S,
        )
    if load.open + wanted > most:
        raise Overloaded(
            f"{load.open} videos wait or are rendered here, and {most} are the most (FARM_MAX_QUEUED); ask again later",
            retry_after_s=_QUEUE_RETRY_S,
        )
