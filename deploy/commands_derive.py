"""remix and extend: new videos that come from others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from deploy.commands_render import EndImage, request_of
from deploy.connect import Json, Storage, Url, connect
from deploy.flags import request_flags, with_flags
from deploy.screen import put_json

StartImage = Annotated[Path | None, typer.Option("--image", metavar="FILE", help="another start image")]
FromSection = Annotated[
    int, typer.Option(min=0, help="share the sections before this one; with an i2v model section 0 is the END")
]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(remix)
    app.command()(extend)


@with_flags(request_flags(whole=False))
def remix(
    video_id: Annotated[str, typer.Argument(metavar="ID", help="the video to begin with")],
    *,
    from_section: FromSection = 0,
    image: StartImage = None,
    end_image: EndImage = None,
    url: Url = None,
    storage: Storage = None,
    as_json: Json = False,
    **given: Any,
) -> None:
    """Ask for a video with other fields than ID's and print its id; what is not set stays as it was there."""
    fields, images = request_of(given, image, end_image, whole=False)
    with connect(url=url, storage=storage) as client:
        video = client.remix(video_id, {**fields, "from_section": from_section}, images)
    _put(video, as_json=as_json)


@with_flags(request_flags())
def extend(
    video: Annotated[str, typer.Argument(metavar="ID|FILE", help="a completed video of the farm, or a video file")],
    *,
    url: Url = None,
    storage: Storage = None,
    as_json: Json = False,
    **given: Any,
) -> None:
    """Ask for a video that goes on where another ends, for --seconds more, and print its id."""
    fields, _ = request_of(given, None, None)
    source = Path(video)
    with connect(url=url, storage=storage) as client:
        made = client.extend(source if source.is_file() else video, fields)
    _put(made, as_json=as_json)


def _put(video: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        put_json(video)
    else:
        print(video["id"])
