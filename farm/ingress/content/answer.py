"""Which file answers a request for /content."""

from __future__ import annotations

from starlette.responses import Response

from farm.errors import Damaged, InvalidRequest, NotReady
from farm.ingress.content.assembled import frames, latents, partial
from farm.ingress.content.pictures import frame, poster, sent_picture
from farm.ingress.content.serving import stored
from farm.ingress.content.variants import Asked, filename, sections_done
from farm.intake.prepare import Tools
from farm.jobs import Jobs, Record


def content(record: Record, jobs: Jobs, tools: Tools, asked: Asked) -> Response:
    """Answer GET and HEAD of /content. Blocks on the store, and draws or decodes a picture.

    Raises: NotReady if the variant does not exist yet; InvalidRequest if it never will; Damaged if an artifact has the
    wrong form, since an imported one may be anything.
    """
    variant, state, request = asked.variant, record.head.state, asked.request
    if asked.is_sent_picture:
        return sent_picture(record, jobs, tools, asked)
    if variant == "poster":
        return poster(record, jobs, tools, request)
    if variant == "partial" and not _has_video(record, jobs):
        return partial(record, jobs, tools.media, request)
    if variant == "latents":
        return latents(record, jobs, request)
    if variant == "frames":
        return frames(record, jobs, request)
    name = "video" if variant in {"partial", "frame"} else variant
    if variant == "preview":
        name = _preview(record, asked.section)
    artifact = jobs.artifact(record, name) if name else None
    if artifact is None:
        raise NotReady(f"there is no {variant} yet: the video is {state.status}, {sections_done(record)}")
    if variant == "frame":
        return frame(record, artifact, jobs, tools, asked)
    return stored(artifact, jobs, filename=filename(record, variant), request=request)


def _has_video(record: Record, jobs: Jobs) -> bool:
    """Whether the video is made, and whole as far as its ledger and its length tell. Raises: StoreError."""
    if "finish" in record.head.state.lost:
        return False
    try:
        video = jobs.artifact(record, "video")
        return video is not None and jobs.store.size(video.key) == video.bytes
    except Damaged:
        return False


def _preview(record: Record, section: int | None) -> str:
    """Return the name of a section's preview; empty: there is none yet. Raises: InvalidRequest."""
    total, done = record.job.plan.sections, len(record.head.state.sections)
    if section is not None and section >= total:
        raise InvalidRequest.of("section", f"the video has sections 0 to {total - 1}")
    wanted = done - 1 if section is None else section
    return f"preview/{wanted}" if 0 <= wanted < done else ""
