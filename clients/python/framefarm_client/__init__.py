"""A client of a framepack-farm. Importing it loads neither httpx nor pydantic; the first farm does.

`Farm` and `AsyncFarm` have typed videos; `FarmClient` speaks in the farm's own JSON objects.
"""

from __future__ import annotations

from framefarm_client.connection import ImageFile
from framefarm_client.errors import (
    Busy,
    ConfigError,
    Conflict,
    Damaged,
    FarmError,
    Forbidden,
    InvalidRequest,
    NotFound,
    NotReady,
    Overloaded,
    Quota,
    StoreError,
    TooLarge,
    Unauthorized,
    Unavailable,
    UnsupportedImage,
    VideoFailed,
)
from framefarm_client.events import Event, read_events
from framefarm_client.farm import AsyncFarm, AsyncVideo, Farm, FarmClient, Video
from framefarm_client.values import LoraWeight, Problem, Progress, Status, TimedPrompt, VideoFields

__all__ = [
    "AsyncFarm",
    "AsyncVideo",
    "Busy",
    "ConfigError",
    "Conflict",
    "Damaged",
    "Event",
    "Farm",
    "FarmClient",
    "FarmError",
    "Forbidden",
    "ImageFile",
    "InvalidRequest",
    "LoraWeight",
    "NotFound",
    "NotReady",
    "Overloaded",
    "Problem",
    "Progress",
    "Quota",
    "Status",
    "StoreError",
    "TimedPrompt",
    "TooLarge",
    "Unauthorized",
    "Unavailable",
    "UnsupportedImage",
    "Video",
    "VideoFailed",
    "VideoFields",
    "read_events",
]
