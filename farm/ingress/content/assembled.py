"""The files that the ingress assembles on request: the growing video, all latents, all frames."""

from __future__ import annotations

import hashlib
import json
import re
import struct
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from farm.contract import Artifact, Media
from farm.errors import Damaged, InvalidRequest, NotReady
from farm.ingress.content.serving import Body, Span, send
from farm.ingress.content.variants import filename, sections_done
from farm.ingress.views import final_clips
from farm.jobs import Jobs, Record
from farm.ledger.damage import check_file, verified

_PIECE_BYTES = 1 << 20
_STILL = re.compile(r"[0-9]{6,}\.png")
_PNG_SLACK = 1 << 16  #: bytes by which a PNG of noise may exceed its pixels


def partial(record: Record, jobs: Jobs, media: Media, request: Request) -> Response:
    """Serve the final clips so far as one mp4. Raises: NotReady; Damaged."""
    clips = [jobs.artifact(record, f"clip/{section}") for section in final_clips(record)]
    ready = [clip for clip in clips if clip is not None]
    if not ready:
        raise NotReady(f"no frame is final yet: the video is {record.head.state.status}, {sections_done(record)}")
    with tempfile.TemporaryDirectory(prefix="framefarm-partial-") as name:
        folder = Path(name)
        out = folder / "partial.mp4"
        media.join([str(_fetched(clip, jobs, folder)) for clip in ready], str(out))
        return _made(out, record, "partial", ready, request)


def latents(record: Record, jobs: Jobs, request: Request) -> Response:
    """Serve all latents in time order as one tensor "latents": (1, 16, w * sections + 1, h, w) float32.

    Written section by section into a file, so memory does not grow with the video.
    """
    plan, state = record.job.plan, record.head.state
    artifacts = [
        jobs.artifact(record, name) for name in ("conditioning", *(f"section/{k}" for k in range(plan.sections)))
    ]
    ready = [artifact for artifact in artifacts if artifact is not None]
    if len(ready) < plan.sections + 1:
        raise NotReady(f"the latents are not complete: the video is {state.status}, {sections_done(record)}")
    window = plan.latent_window_size
    shape = (1, 16, window * plan.sections + 1, plan.height // 8, plan.width // 8)
    with tempfile.TemporaryDirectory(prefix="framefarm-latents-") as name:
        folder = Path(name)
        out = folder / "latents.safetensors"
        offset = _write_header(out, shape)
        target = np.memmap(out, "<f4", "r+", offset, shape)
        target[:, :, :1] = _float32(ready[0], jobs, "start_latent", (*shape[:2], 1, *shape[3:]))
        for index, artifact in enumerate(ready[1:]):
            first = 1 + window * (plan.sections - 1 - index if plan.kind == "i2v" else index)
            latents = _float32(artifact, jobs, "latents", (*shape[:2], window, *shape[3:]))
            target[:, :, first : first + window] = latents
        target.flush()
        return _made(out, record, "latents", ready, request)


def frames(record: Record, jobs: Jobs, request: Request) -> Response:
    """Serve the PNG files of all clips, in time order, as one zip file."""
    if record.job.request.save_frames == "none":
        raise InvalidRequest.of("variant", "this video keeps no frames: its request has save_frames=none")
    plan = record.job.plan
    wanted = sum(frames > 0 for frames in plan.final_frames)
    sections = [(plan.final_frames[k], jobs.artifact(record, f"frames/{k}")) for k in final_clips(record)]
    ready = [(most, artifact) for most, artifact in sections if artifact is not None]
    if len(ready) < wanted:
        raise NotReady(f"{len(ready)} of {wanted} clips have their frames: {sections_done(record)}")
    with tempfile.TemporaryDirectory(prefix="framefarm-frames-") as name:
        folder = Path(name)
        out = folder / "frames.zip"
        with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as whole:
            for most, artifact in ready:
                path = _fetched(artifact, jobs, folder)
                for entry, picture in _stills(path, artifact, most=most, frame_bytes=3 * plan.height * plan.width):
                    whole.writestr(entry, picture)
                path.unlink()
        return _made(out, record, "frames", [artifact for _, artifact in ready], request)


def _stills(path: Path, artifact: Artifact, *, most: int, frame_bytes: int) -> Iterator[tuple[zipfile.ZipInfo, bytes]]:
    """Read the PNG files of one clip. Raises: Damaged unless there are at most `most`, stored uncompressed."""
    try:
        with zipfile.ZipFile(path) as part:
            entries = part.infolist()
            for entry in entries:
                stored = entry.compress_type == zipfile.ZIP_STORED and entry.compress_size == entry.file_size
                if not _STILL.fullmatch(entry.filename) or not stored or len(entries) > most:
                    raise Damaged(f"{artifact.key} holds files other than the clip's frames", key=artifact.key)
                if entry.file_size > frame_bytes + frame_bytes // 100 + _PNG_SLACK:
                    raise Damaged(f"{artifact.key} holds a picture that is too large for a frame", key=artifact.key)
                yield entry, part.read(entry)
    except (zipfile.BadZipFile, ValueError, KeyError, RuntimeError, EOFError, struct.error, OSError) as err:
        raise Damaged(f"{artifact.key} is not a readable zip file", key=artifact.key) from err


def _fetched(artifact: Artifact, jobs: Jobs, folder: Path) -> Path:
    """Download an artifact. Raises: Damaged if its bytes are not those that the ledger names."""
    path = folder / artifact.sha256
    jobs.store.download(artifact.key, path)
    check_file(path, artifact)
    return path


def _write_header(out: Path, shape: tuple[int, ...]) -> int:
    """Create a full-length safetensors file of one float32 tensor. Return the offset of its numbers."""
    size = 4 * int(np.prod(shape))
    head = json.dumps({"latents": {"dtype": "F32", "shape": shape, "data_offsets": [0, size]}}).encode()
    head += b" " * (-len(head) % 8)
    with out.open("wb") as file:
        file.write(struct.pack("<Q", len(head)) + head)
        file.truncate(8 + len(head) + size)
    return 8 + len(head)


def _float32(artifact: Artifact, jobs: Jobs, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Read one tensor of a safetensors file; the others may have types that numpy lacks.

    Raises: Damaged unless the file has a float32 tensor of that name and shape.
    """
    data = verified(jobs.store, artifact)
    with suppress(ValueError, KeyError, TypeError, RecursionError, OverflowError):
        begin = 8 + int.from_bytes(data[:8], "little")
        entry = json.loads(data[8:begin])[name]
        first, last = entry["data_offsets"]
        if entry["dtype"] == "F32" and entry["shape"] == list(shape) and 0 <= first <= last:
            return np.frombuffer(data[begin + first : begin + last], "<f4").reshape(shape)
    raise Damaged(f"{artifact.key} has no float32 tensor {name!r} of shape {shape}", key=artifact.key)


def _made(out: Path, record: Record, variant: str, parts: list[Artifact], request: Request) -> Response:
    """Serve an assembled file. It stays open after its name is gone, so nothing is left when the client hangs up.

    Its ETag is derived from its artifacts', so that ranges of two downloads fit together.
    """
    etag = hashlib.sha256("".join(part.sha256 for part in parts).encode()).hexdigest()
    file = out.open("rb")

    def read(span: Span) -> Iterator[bytes]:
        with file:
            file.seek(span.start)
            left = span.length
            while piece := file.read(min(left, _PIECE_BYTES)):
                left -= len(piece)
                yield piece

    return send(Body(out.stat().st_size, etag, read), filename=filename(record, variant), request=request)
