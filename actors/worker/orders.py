"""From an order to a commit: read its inputs, let the engine work, write the artifacts, commit. No Ray in here."""

from __future__ import annotations

import errno
import logging
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from actors.worker.artifacts import Artifacts
from actors.worker.spec import spec_of
from farm.contract import Artifact, Failure, Job, JobId, Order, Preview, WorkerCard
from farm.errors import Damaged, FarmError, Stopped
from farm.jobs import Jobs
from farm.jobs.embeddings import StoredEmbeddings
from farm.ledger import Entry
from farm.ledger.states import Event
from farm.numeric_class import attention_of, parse_class, same_class
from framepack_engine import Conditioning, Renderer, RenderSpec, SectionState, StepState
from framepack_engine.frames.preview import latent_preview
from framepack_engine.frames.provenance import provenance, tags
from framepack_engine.frames.source import source_clips
from framepack_engine.frames.stills import border_frames, spritesheet_png, stills_zip, thumbnail_png
from framepack_engine.frames.video import encode_clip, join_clips
from framepack_engine.planning.sections import first_frames, time_order

log = logging.getLogger(__name__)
OnStep = Callable[[int], None]
_HOST = torch.device("cpu")
_PREVIEW_QUALITY = 80  #: of WebP: a third of the bytes of lossless


class OrderRunner:
    """Does orders with one renderer after another; keeps the last model and the last artifacts warm."""

    def __init__(self, jobs: Jobs, card: WorkerCard, *, load: Callable[[str, float | None], Renderer]) -> None:
        """`load` gives a renderer for a model's name and the GPU memory that the video leaves to others (GiB)."""
        self._jobs, self._worker_id, self._load = jobs, card.id, load
        self._artifacts = Artifacts(jobs.store)
        self._numeric_class, self._attention = card.numeric_class, card.attention
        self._model = ""
        self._preserve_gb: float | None = None  # as the renderer was made for
        self._renderer: Renderer | None = None
        self._step: StepState | None = None  # the running section after its last finished step
        self._shown: tuple[StepState, Preview] | None = None  # the newest preview, and the step that it shows
        self._giving_back, self._given_back = threading.Lock(), ("", -1)  # the last one: video, attempt
        self._forwards = 0  # of the transformer, in the order that is done
        self.warm_job: JobId | None = None

    @property
    def model(self) -> str | None:
        """Return the name of the model that it holds."""
        return self._model or None

    def let_go(self) -> None:
        """Free the model and the artifacts; the next order loads them again."""
        if self._renderer is not None:
            self._renderer.close()
        self._renderer, self._model, self._step, self._shown = None, "", None, None
        self._artifacts.let_go()
        self.warm_job = None

    def preview(self) -> Preview | None:
        """Show the running section after its last finished step; None: none is finished. Another thread calls this."""
        step = self._step
        if step is None:
            return None
        if self._shown is None or self._shown[0] is not step:
            picture = BytesIO()
            latent_preview(step.estimate).save(picture, "WEBP", quality=_PREVIEW_QUALITY)
            self._shown = step, Preview(step=step.step, webp=picture.getvalue())
        return self._shown[1]

    @property
    def memory_plan(self) -> str | None:
        """Describe how it holds that model, and what did not fit before; None: nothing was planned yet."""
        tenancy = self._renderer.tenancy if self._renderer else None
        if tenancy is None or tenancy.plan is None:
            return None
        learnt = tenancy.book.remembered
        return tenancy.plan.words + (f" ({learnt})" if learnt else "")

    def run(self, order: Order, on_step: OnStep) -> Entry:
        """Do `order` and commit it. `on_step` hears each finished step; it may raise Stopped.

        Raises: Stopped, after the lease was given back and the last finished step saved; LeaseLost if another worker
        has the lease by now (nothing was committed); EngineError; StoreError.
        """
        begun = time.monotonic()
        self._step, self._shown = None, None  # before all else: a stop may come while the model is loaded
        self._forwards = 0
        renderer = self._renderer_for(order)
        stage = {"encode": self._encode, "section": self._section, "decode": self._decode, "finish": self._finish}
        try:
            artifacts = stage[order.key.stage](order, renderer, on_step)
        except Stopped:
            self.give_back(order)
            raise
        self.warm_job = order.job.id
        event = Event(
            name="committed",
            key=str(order.key),
            attempt=order.attempt,
            worker=self._worker_id,
            artifacts=artifacts,
            numeric_class=self._class_of(order),
            seconds=round(time.monotonic() - begun, 3),
            forwards=self._forwards,
            decode_tile_px=self._tile_px(order, renderer),
        )
        return self._jobs.ledger.append(order.job.id, event)

    def give_back(self, order: Order) -> None:
        """End the lease and save the section's last finished step; the next worker begins behind it.

        Another thread may call this while `run` is inside a step, because a step can take longer than a notice lasts.
        The second call does nothing. Raises: LeaseLost if another worker has the lease, or it was committed.
        """
        with self._giving_back:
            if self._given_back == (order.job.id, order.attempt):
                return
            self._release(order)
            self._given_back = order.job.id, order.attempt

    def _release(self, order: Order) -> None:
        artifacts, step = {}, self._step
        if step is not None:
            name = f"steps/{order.key.section:04}.a{{}}.s{step.step:03}.safetensors"
            artifacts["step"] = self._artifacts.put(order, name, step.to_bytes())
        event = Event(
            name="released",
            key=str(order.key),
            attempt=order.attempt,
            worker=self._worker_id,
            artifacts=artifacts,
            numeric_class=self._class_of(order) if artifacts else None,
        )
        self._jobs.ledger.append(order.job.id, event)

    def _renderer_for(self, order: Order) -> Renderer:
        model, preserve_gb = order.job.request.model or "", order.job.request.preserve_gb
        if self._renderer is None or (model, preserve_gb) != (self._model, self._preserve_gb):
            if self._renderer is not None:
                self._renderer.close()
            self._renderer = None  # the old model's memory is free before the new one comes
            self._renderer, self._model, self._preserve_gb = self._load(model, preserve_gb), model, preserve_gb
        threads = parse_class(order.numeric_class or self._numeric_class).threads
        if threads is not None:
            torch.set_num_threads(threads)
        return self._renderer

    def _class_of(self, order: Order) -> str | None:
        """Return the numeric class in which this worker computes the order."""
        if self._renderer is None:
            return None
        return same_class(order.numeric_class, self._renderer.numeric_class_of(self._spec(order)))

    def _spec(self, order: Order) -> RenderSpec:
        """Build the engine's specification, with the attention of the video's class or else this worker's."""
        attention = attention_of(order.numeric_class) or self._attention
        return spec_of(order.job.request, order.job.plan, attention=attention)

    def _decode_spec(self, order: Order) -> RenderSpec:
        """Build the specification with the size of tiles that the request or the video's encode chose."""
        spec = self._spec(order)
        if spec.decode != "tiled":
            return spec
        return replace(spec, decode_tile_px=spec.decode_tile_px or order.decode_tile_px)

    def _tile_px(self, order: Order, renderer: Renderer) -> int | None:
        """Choose, at a video's encode, a size of tiles that this device can decode; the ledger keeps it."""
        if order.key.stage != "encode":
            return None
        return renderer.settled(self._spec(order)).decode_tile_px

    def _encode(self, order: Order, renderer: Renderer, _: OnStep) -> dict[str, Artifact]:
        data = self._encoded(order, renderer).to_bytes()
        return {"conditioning": self._artifacts.put(order, "conditioning.a{}.safetensors", data)}

    def _encoded(self, order: Order, renderer: Renderer) -> Conditioning:
        images = {
            name: Image.open(BytesIO(self._artifacts.read(artifact)))
            for name, artifact in order.job.inputs.items()
            if name != "source"
        }
        kept = StoredEmbeddings(self._jobs.store, order.job.id)
        with tempfile.TemporaryDirectory(prefix="framefarm-") as folder:
            source = self._source(order, Path(folder))
            made = renderer.encode(self._spec(order), images, source=source, embeddings=kept)
        log.info("encode", extra={"job_id": order.job.id, "embeddings_found": kept.hits, "embeddings_made": kept.made})
        return made

    def _section(self, order: Order, renderer: Renderer, on_step: OnStep) -> dict[str, Artifact]:
        k = order.key.section or 0
        previous = SectionState.from_bytes(self._artifacts.need(order, f"section/{k - 1}")) if k else None
        resume = StepState.from_bytes(self._artifacts.need(order, "step")) if "step" in order.needs else None

        def stepped(state: StepState) -> None:
            self._step = state.to(_HOST)  # in host RAM; give_back saves it
            on_step(state.step)

        spec = self._spec(order)
        state = renderer.section(spec, k, self._conditioning(order, renderer), previous, on_step=stepped, resume=resume)
        self._forwards = sum(state.forwards)
        picture = BytesIO()
        latent_preview(state.latents).save(picture, "PNG")
        made = {
            "section": (f"sections/{k:04}.a{{}}.safetensors", state.to_bytes()),
            "preview": (f"previews/{k:04}.a{{}}.png", picture.getvalue()),
        }
        return self._artifacts.put_all(order, made)

    def _decode(self, order: Order, renderer: Renderer, _: OnStep) -> dict[str, Artifact]:
        k = order.key.section or 0
        latents = {
            n: SectionState.from_bytes(self._artifacts.need(order, f"section/{n}")).latents
            for n in range(max(0, k - 2), k + 1)
        }
        spec = self._decode_spec(order)
        frames = renderer.decode(spec, k, self._conditioning(order, renderer), latents)
        clip = encode_clip(frames, crf=spec.crf, fps=order.job.plan.fps)
        artifacts = {"clip": self._artifacts.put(order, f"clips/{k:04}.a{{}}.mp4", clip)}
        if order.job.request.save_frames != "none":
            artifacts["frames"] = self._artifacts.put(order, f"frames/{k:04}.a{{}}.zip", _stills(order.job, k, frames))
        return artifacts

    def _finish(self, order: Order, renderer: Renderer, _: OnStep) -> dict[str, Artifact]:
        with tempfile.TemporaryDirectory(prefix="framefarm-") as folder:
            numbers = [
                n for n in time_order(order.job.plan.kind, order.job.plan.sections) if f"clip/{n}" in order.needs
            ]
            paths = [Path(folder, f"{n:04}.mp4") for n in numbers]
            for n, path in zip(numbers, paths, strict=True):
                self._artifacts.download(order.needs[f"clip/{n}"], path)
            if source := self._source(order, Path(folder)):
                paths = [*_before(order.job, source, like=paths[0]), *paths]
            video = Path(folder, "video.mp4")
            join_clips(paths, video, metadata=_tags(order, self._decode_spec(order), renderer))
            made: dict[str, tuple[str, bytes | Path]] = {
                "video": ("video.a{}.mp4", video),
                "thumbnail": ("thumbnail.a{}.png", thumbnail_png(video)),
                "spritesheet": ("spritesheet.a{}.png", spritesheet_png(video)),
            }
            return self._artifacts.put_all(order, made)

    def _source(self, order: Order, folder: Path) -> Path | None:
        """Return the video that this one extends, as a file; None: it extends none."""
        artifact = order.job.inputs.get("source")
        return None if artifact is None else self._artifacts.download(artifact, folder / "source.video")

    def _conditioning(self, order: Order, renderer: Renderer) -> Conditioning:
        if "conditioning" not in order.needs:  # a section of an earlier prompt that is made again
            return self._encoded(order, renderer)
        return Conditioning.from_bytes(self._artifacts.need(order, "conditioning"))


def failure_of(order: Order, worker: str, err: Exception) -> Failure:
    """Describe an order that ended in `err`, for the dispatcher.

    The farm's own errors do not count against the video, except a missing or damaged object, which stays so. A full
    disk of the worker, where the mp4 is put together, does not count either.
    """
    full = isinstance(err, OSError) and err.errno in {errno.ENOSPC, errno.EDQUOT}
    return Failure(
        job=order.job.id,
        key=order.key,
        attempt=order.attempt,
        worker=worker,
        code="disk_full" if full else _code_of(err),
        message=f"{type(err).__name__}: {err}",
        counts=isinstance(err, Damaged) or not (full or isinstance(err, FarmError)),
    )


def _code_of(err: Exception) -> str:
    if isinstance(err, torch.OutOfMemoryError):  # outside a plan's stages: while weights are loaded
        return "out_of_memory"
    return getattr(err, "code", "internal")


def _before(job: Job, source: Path, *, like: Path) -> list[Path]:
    """Return the source as clips that join with the new ones."""
    plan = job.plan
    return source_clips(
        source,
        source.parent,
        like=like,
        frames=plan.source_frames,
        height=plan.height,
        width=plan.width,
        crf=job.request.crf,
    )


def _stills(job: Job, index: int, frames: Tensor) -> bytes:
    """Return the frames of a clip that the request wants kept, as a zip."""
    plan = job.plan
    first = first_frames(plan.kind, plan.final_frames)[index]
    numbers = list(range(first, first + len(frames)))
    if job.request.save_frames == "borders":
        numbers = border_frames(first, len(frames), total=sum(plan.final_frames), window=plan.latent_window_size)
    return stills_zip(frames, numbers, first=first)


def _tags(order: Order, spec: RenderSpec, renderer: Renderer) -> dict[str, str] | None:
    """Return the mp4's metadata; None: the request wants none. The user's own `metadata` stays out of the file."""
    job, request = order.job, order.job.request
    if request.no_metadata:
        return None
    classes = order.numeric_classes or (renderer.numeric_class_of(spec),)
    facts = provenance(
        spec,
        model=request.model or "",
        numeric_class=classes[0] if len(classes) == 1 else "mixed",
        numeric_classes=classes,
        id=job.id,
        created_at=job.created_ms // 1000,
        request=request.model_dump(mode="json", exclude={"metadata", "labels"}, exclude_defaults=True),
        inputs={name: artifact.sha256 for name, artifact in job.inputs.items()},
        edits=job.shown_edits(),
    )
    return tags(facts, title=request.name or request.prompt)
