"""The JSON objects that clients see: videos, workers, models and estimates."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from farm.contract import LiveJob, LoraCard, ModelCard, OrderKey, PresetCard, Stage, Weights, WorkerCard, WorkerState
from farm.intake.inspect_file import Inspection
from farm.intake.posters import poster_of
from farm.intake.prepare import Prepared
from farm.jobs import Record
from farm.jobs.demand import fits, measured, need_for, whole_work
from farm.jobs.expiry import expires_at
from farm.jobs.files import StoredFile
from farm.ledger.notes import OwnPresets
from farm.ledger.states import complete
from farm.request import VideoRequest

_BUSIEST: tuple[Stage, ...] = ("section", "encode", "decode", "finish")  #: which of several concurrent orders to show


def video_view(record: Record, live: LiveJob | None = None, *, keep_days: float | None = None) -> dict[str, Any]:
    """Return the video object. live: the dispatcher's knowledge; without it, progress is coarser."""
    job, state = record.job, record.head.state
    key = current_order(record, live)
    lease = state.leases.get(str(key)) if key else None
    running = live.progress if live and key else None
    return {
        "id": job.id,
        "object": "video",
        "status": state.status,
        "progress": percent(record, live),
        "created_at": job.created_ms // 1000,
        "completed_at": int(state.ended_at) if state.status == "completed" and state.ended_at else None,
        "expires_at": expires_at(record, keep_days),
        "model": job.request.model,
        "seconds": f"{job.plan.source_frames / job.plan.fps + job.request.seconds:g}",  # of the whole, for an extension
        "size": f"{job.plan.width}x{job.plan.height}",
        "frames": job.plan.frames,
        "fps": job.plan.fps,
        "prompt": job.request.prompt,
        "seed": job.request.seed,
        "poster": poster_of(record)._asdict(),
        "remixed_from_video_id": job.remixed_from,
        "extends_video_id": job.extends,
        "error": state.error.model_dump() if state.error else None,
        "name": job.request.name,
        "labels": list(job.request.labels),
        "webhook": job.hooks.get("request"),
        "stage": key.stage if key else None,
        "sections_done": len(state.sections),
        "frames_ready": frames_ready(record),
        "sections_total": job.plan.sections,
        "step": running.step if running else None,
        "eta_s": live.eta_s if live and state.status == "in_progress" else None,
        "waiting_for": live.waiting_for if live and state.status != "paused" else None,
        "queue_position": live.queue_position if live and state.status == "queued" else None,
        "attempt": state.attempt,
        "worker": lease.worker if lease else None,
        "gpu_seconds": round(state.gpu_seconds, 3),
        "forwards": state.forwards,
        "numeric_class": state.numeric_class,
        "numeric_classes": list(state.numeric_classes),
        "batch": job.batch.model_dump(mode="json") if job.batch else None,
        "edits": job.shown_edits(),
        "request": job.request.model_dump(mode="json"),
    }


def final_clips(record: Record) -> list[int]:
    """Return the sections whose final clips are contiguous, in time order. With an i2v model they are the END."""
    sections: list[int] = []
    for section, frames in enumerate(record.job.plan.final_frames):
        if frames and str(section) not in record.head.state.clips:
            break
        if frames:
            sections.append(section)
    return sections[::-1] if record.job.plan.kind == "i2v" else sections


def frames_ready(record: Record) -> int:
    """Return how many frames can be fetched: all of a complete video, else those of `partial`."""
    plan = record.job.plan
    if record.head.state.status == "completed":
        return plan.frames
    return sum(plan.final_frames[section] for section in final_clips(record))


def encoded(record: Record, live: LiveJob | None, *, keep_days: float | None) -> bytes:
    """Return the video object as JSON, as FastAPI would write it."""
    view = video_view(record, live, keep_days=keep_days)
    return json.dumps(view, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def current_order(record: Record, live: LiveJob | None) -> OrderKey | None:
    """Return the order in progress: the one that reports, or else the first lease in the order of _BUSIEST."""
    leases = record.head.state.leases
    if live and live.progress and str(live.progress.key) in leases:
        return live.progress.key
    keys = sorted((OrderKey.parse(text) for text in leases), key=lambda key: _BUSIEST.index(key.stage))
    return keys[0] if keys else None


def percent(record: Record, live: LiveJob | None) -> int:
    """Return the progress, 0 to 100: committed work, and the running section's steps if `live` knows them."""
    plan, state = record.job.plan, record.head.state
    if state.status == "completed":
        return 100
    running = live.progress if live and live.progress and str(live.progress.key) in state.leases else None
    return min(int(100 * complete(plan, state, running)), 99)


def progress_view(record: Record, live: LiveJob | None) -> dict[str, Any] | None:
    """Return a `progress` event. None: nothing is known of the video."""
    key = current_order(record, live)
    if live is None or (key is None and live.waiting_for is None):
        return None
    running = live.progress if live.progress and live.progress.key == key else None
    return {
        "id": record.asked.id,
        "stage": key.stage if key else None,
        "section": key.section if key else None,
        "sections_done": len(record.head.state.sections),
        "sections_total": record.asked.plan.sections,
        "step": running.step if running else 0,
        "steps": running.steps if running else 0,
        "eta_s": live.eta_s,
        "waiting_for": live.waiting_for,
        "progress": percent(record, live),
    }


def worker_view(worker: WorkerState, *, names_video: bool = True) -> dict[str, Any]:
    """Return the worker object. names_video: its reader may know which video it makes."""
    card = worker.card
    return {
        "id": card.id,
        "object": "worker",
        "node": card.node,
        "device": card.device,
        "vram_gib": card.vram_gib,
        "vram_class": card.vram_class,
        "preserve_gb": card.preserve_gb,
        "hours": card.hours,
        "numeric_class": card.numeric_class,
        "attentions": list(card.attentions),
        "attention": card.attention,
        "plan": card.plan,
        "stages": list(card.stages),
        "models": list(card.models),
        "state": worker.state,
        "paused": worker.paused,
        "video": worker.job if names_video else None,
        "order": str(worker.key) if worker.key and names_video else None,
        "stage": worker.key.stage if worker.key else None,
        "progress": worker.percent,
        "s_per_section": card.s_per_section,
    }


def model_view(card: ModelCard, weights: Weights, *, default: str) -> dict[str, Any]:
    """Return the model object: OpenAI's fields, and what to expect of the model."""
    return {
        "id": card.name,
        "object": "model",
        "created": 0,
        "owned_by": "framepack-farm",
        "kind": card.kind,
        "resolution": card.resolution,
        "needs_image": card.needs_image,
        "description": card.honest,
        "default": card.name == default,
        "supports": {
            "end_image": card.kind == "i2v",
            "keyframes": card.kind == "i2v",
            "loop": card.kind == "i2v",
            "text_only": not card.needs_image,
            "extend": card.kind == "f1",
        },
        "buckets": [f"{width}x{height}" for height, width in card.buckets],
        "weights": weights.model_dump(),
    }


def built_in_preset_view(card: PresetCard) -> dict[str, Any]:
    """Return the preset object of a preset that every farm has."""
    return {
        "object": "preset",
        "name": card.name,
        "built_in": True,
        "start": False,
        "fields": card.fields,
        "by_size": list(card.by_size),
        "prompt": card.prompt or None,
    }


def preset_view(name: str, own: OwnPresets) -> dict[str, Any]:
    """Return the preset object of one of the owner's presets."""
    fields = own.presets[name]
    return {
        "object": "preset",
        "name": name,
        "built_in": False,
        "start": own.start == name,
        "fields": fields,
        "by_size": [],
        "prompt": fields.get("prompt"),
    }


def lora_view(card: LoraCard) -> dict[str, Any]:
    """Return the LoRA object."""
    preview = {"etag": card.preview} if card.preview else None
    return {"object": "lora", **card.model_dump(mode="json"), "preview": preview}


def file_view(file: StoredFile) -> dict[str, Any]:
    """Return the file object: OpenAI's fields, and the picture's size."""
    note = file.note
    return {
        "id": file.id,
        "object": "file",
        "bytes": note.bytes,
        "created_at": file.key.created_ms // 1000,
        "expires_at": file.key.expires_ms // 1000,
        "filename": note.filename,
        "purpose": note.purpose,
        "status": "processed",
        "media_type": note.media_type,
        "width": note.width,
        "height": note.height,
    }


def inspection_view(found: Inspection, ids: Mapping[bytes, str]) -> dict[str, Any]:
    """Return what a file holds: for each video its fields, its pictures as a request takes them, and what is left.

    ids: the bytes of each picture -> the id of its file.
    """
    return {
        "object": "inspection",
        "from": found.origin,
        "video_id": found.video or None,
        "data": [
            {
                "fields": one.fields,
                "images": {name: {"file_id": ids[picture.data]} for name, picture in one.images.items()},
                "left_out": [left._asdict() for left in one.left_out],
            }
            for one in found.found
        ],
    }


def estimate_view(prepared: Prepared, workers: Sequence[WorkerState], section_starts: Sequence[int]) -> dict[str, Any]:
    """Return a dry run's answer: the plan, and how long each worker alone would take.

    section_starts: the frame at which each section begins.
    `fits` is false if the worker lacks memory. `seconds` is null then, and if the worker has measured nothing yet.
    """
    request, plan = prepared.request, prepared.plan
    shared = sum(name.startswith("section/") for name in prepared.origin.work) if prepared.origin else 0
    work = whole_work(request, plan, shared=shared)
    return {
        "object": "video.estimate",
        "videos": prepared.variants.number,
        "model": request.model,
        "frames": plan.frames,
        "fps": plan.fps,
        "seconds": f"{plan.frames / plan.fps:g}",
        "size": f"{plan.width}x{plan.height}",
        "sections": plan.sections,
        "section_starts": list(section_starts),
        "workers": [_estimate(worker.card, request, work) for worker in workers if request.model in worker.card.models],
    }


def _estimate(card: WorkerCard, request: VideoRequest, work: float) -> dict[str, Any]:
    can, pace = fits(card, need_for(request, "section", None)), measured(card)
    preserve_gb = card.preserve_gb if request.preserve_gb is None else request.preserve_gb
    return {
        "id": card.id,
        "plan": card.plan,
        "preserve_gb": preserve_gb,
        "fits": can,
        "seconds": round(pace * work, 1) if can and pace else None,
    }
