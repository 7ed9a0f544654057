"""Single pictures: a video's poster, the pictures that it was made from, any frame of it, and the section that is being
made, which lives in memory only, while somebody watches; LoRAs' and owners' files.
"""

from __future__ import annotations

import hashlib
import io
import tempfile
from pathlib import Path

from PIL import Image
from starlette.requests import Request
from starlette.responses import Response

from farm.contract import Artifact, LiveJob, Preview
from farm.errors import Damaged, InvalidRequest, NotFound, NotReady, TooLarge, UnsupportedImage
from farm.ingress.content.serving import drawn, stored
from farm.ingress.content.variants import Asked, filename
from farm.intake.images import clean_image, small_image
from farm.intake.posters import HEAD_BYTES, card, draw, poster_in, poster_of
from farm.intake.prepare import Tools, input_names
from farm.jobs import Jobs, Record
from farm.jobs.files import Files
from farm.ledger.damage import check_file, verified

LORA_PX = 512


def poster(record: Record, jobs: Jobs, tools: Tools, request: Request) -> Response:
    """Serve the poster. Raises: Damaged."""
    name = filename(record, "poster")
    return drawn(poster_of(record).etag, lambda: _poster(record, jobs, tools), filename=name, request=request)


def sent_picture(record: Record, jobs: Jobs, tools: Tools, asked: Asked) -> Response:
    """Serve a picture that the request brought, as the farm cleaned it. Raises: InvalidRequest if there was none."""
    job, name = record.job, asked.variant
    if name.startswith("keyframe_"):
        name = input_names(job.request, job.plan, tools.planner).get(name, "")
    if name not in job.inputs:
        raise InvalidRequest.of("variant", f"this video was made without {asked.variant}")
    return stored(job.inputs[name], jobs, filename=filename(record, asked.variant), request=asked.request)


def frame(record: Record, video: Artifact, jobs: Jobs, tools: Tools, asked: Asked) -> Response:
    """Serve one frame of the finished video as PNG. Raises: InvalidRequest behind the video's end; Damaged."""
    plan = record.job.plan
    number = plan.frames - 1 if asked.at_s is None else int(asked.at_s * plan.fps + 1e-6)
    if number >= plan.frames:
        raise InvalidRequest.of("at_s", f"the video lasts {plan.frames / plan.fps:.2f} s")

    def picture() -> bytes:
        out = io.BytesIO()
        _frame(video, number, jobs, tools).save(out, "PNG", compress_level=1)
        return out.getvalue()

    name = filename(record, "frame").replace(".frame.", f".frame-{number}.")
    return drawn(f"{video.sha256[:16]}-{number}", picture, filename=name, request=asked.request)


def live_picture(record: Record, live: LiveJob | None, asked: Asked) -> Response:
    """Serve the preview of the running section. Raises: NotReady."""
    shown = live.progress.preview if live and live.progress else None
    if shown is None:
        raise NotReady("no section is shown now: follow /v1/events?preview=ID, and wait for a `preview` event")
    return drawn(etag_of(shown), lambda: shown.webp, filename=filename(record, "live"), request=asked.request)


def etag_of(shown: Preview) -> str:
    """Return the ETag of a preview."""
    return hashlib.sha256(shown.webp).hexdigest()


def lora_preview(name: str, tools: Tools, request: Request) -> Response:
    """Serve the picture beside a LoRA as WebP of at most LORA_PX. Raises: NotFound."""
    version, path = tools.planner.lora_picture(name)

    def picture() -> bytes:
        try:
            data, most = Path(path).read_bytes(), tools.settings.max_pixels
            small = clean_image(data, max_pixels=most, upright_rgb=tools.media.upright_rgb).small
        except (OSError, UnsupportedImage, TooLarge) as err:
            raise NotFound(f"the picture of the LoRA {name[:80]!r} cannot be read") from err
        small.thumbnail((LORA_PX, LORA_PX))
        out = io.BytesIO()
        small.save(out, "WEBP", quality=80)
        return out.getvalue()

    return drawn(version, picture, filename="preview.webp", request=request)


def stored_picture(file_id: str, files: Files, *, owner: str, request: Request) -> Response:
    """Serve a file that the owner sent. Raises: NotFound; Damaged."""
    file = files.get(file_id, owner=owner)
    name = f"{file_id}.{file.note.media_type.rpartition('/')[2]}"
    return drawn(file.key.sha256, lambda: files.read(file_id, owner=owner)[1], filename=name, request=request)


def _poster(record: Record, jobs: Jobs, tools: Tools) -> bytes:
    """Take the poster from the start image, or draw it from the video, the start image or what the video extends."""
    job, plan = record.job, record.job.plan
    thumbnail = jobs.artifact(record, "thumbnail") if record.head.state.video is not None else None
    shown = thumbnail or job.inputs.get("start")
    if shown is None:
        source = job.inputs.get("source")
        return card(plan) if source is None else draw(_frame(source, 0, jobs, tools), plan)
    if thumbnail is None:
        head = b"".join(jobs.store.open_read(shown.key, length=min(HEAD_BYTES, shown.bytes)))
        if (found := poster_in(head)) is not None:
            return found
    data = verified(jobs.store, shown)
    try:
        picture = small_image(data, max_pixels=tools.settings.max_pixels)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as err:
        raise Damaged(f"{shown.key} is not a readable PNG", key=shown.key) from err
    return draw(picture, plan)


def _frame(video: Artifact, number: int, jobs: Jobs, tools: Tools) -> Image.Image:
    with tempfile.TemporaryDirectory(prefix="framefarm-frame-") as folder:
        path = Path(folder, "video")
        jobs.store.download(video.key, path)
        check_file(path, video)
        return tools.media.frame(str(path), number)
