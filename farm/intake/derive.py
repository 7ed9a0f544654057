"""Requests that start from another video: a remix shares its inputs and first sections, an extension continues it.

Both become ordinary requests for `prepare`. Their `Origin` names what the new video takes over; the farm copies that
when it accepts the video.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Mapping
from typing import Any

from farm.contract import Artifact, Job, VideoFacts
from farm.errors import InvalidRequest, NotReady, TooLarge
from farm.intake.body import Body, Intake, checked
from farm.intake.prepare import Prepared, Tools, default_model, input_names, prepare
from farm.jobs import Jobs, Record
from farm.jobs.origin import Origin
from farm.ledger.damage import verified

_MAX_SOURCE_S = 600
_NOT_TAKEN_OVER = {"metadata", "name", "labels"}
#: fields that influence finished sections: a remix that shares sections must not change them
_FIXED = ("seed", "model", "latent_window_size", "attention", "decode_tile_px", "start", "loop", "keyframes")
_NEEDS_0 = "changing it changes the shared sections, so it needs from_section=0"
_GOES_WITH = {
    "cache": "cache_threshold",
    "decode": "decode_tile_px",
}  #: changing the first drops the second
_DECODED_BY = (
    "decode",
    "decode_tile_px",
    "crf",
    "save_frames",
)  #: if a remix changes none of these, it shares the clips


def prepare_remix(record: Record, body: Body, jobs: Jobs, tools: Tools) -> Prepared:
    """Prepare a remix: the other video's request with the body's fields, sharing the sections before `from_section`.

    Raises: InvalidRequest naming what prevents the sharing; NotReady if those sections are not made; as `prepare`.
    """
    fields = dict(body.fields)
    from_section = _whole_number(fields.pop("from_section", 0))
    intake = _changed(record.job, fields, body.images, jobs, tools)
    source = _facts(record.job)
    prepared = prepare(intake, tools, source=source)
    inputs = {"source": record.job.inputs["source"]} if source else {}
    work = _shared(record, prepared, body.images, from_section, jobs) if from_section else {}
    origin = Origin("remix", record.job.id, inputs=inputs, work=work, state=record.head.state)
    return prepared._replace(origin=origin, fingerprint=prepared.also("remix", record.job.id, from_section))


def prepare_extension(source: Record | bytes, body: Body, jobs: Jobs, tools: Tools) -> Prepared:
    """Prepare a video that continues `source`: a video of the farm, or the bytes of a file.

    Raises: InvalidRequest; UnsupportedImage or TooLarge for an unusable file; NotReady for an unfinished video.
    """
    fields = dict(body.fields)
    if isinstance(source, bytes):
        facts = _look_at(source, tools)
        fields.setdefault("model", _forward_model(None, tools))
        prepared = prepare(checked(fields, body.images, tools.planner), tools, source=facts)
        digest = hashlib.sha256(source).hexdigest()
        images = prepared.images | {"source": source}
        return prepared._replace(images=images, fingerprint=prepared.also("extension", digest))
    job, state = source.job, source.head.state
    video = jobs.artifact(source, "video")
    if video is None:
        raise NotReady(f"{job.id} cannot be extended yet: it is {state.status}")
    plan = job.plan
    facts = VideoFacts(frames=plan.frames, height=plan.height, width=plan.width, fps=plan.fps)
    fields.setdefault("model", _forward_model(job.request.model, tools))
    if "resolution" not in fields:
        fields.setdefault("size", f"{plan.width}x{plan.height}")
    prepared = prepare(checked(fields, body.images, tools.planner), tools, source=facts)
    origin = Origin("extension", job.id, inputs={"source": video}, work={}, state=state)
    return prepared._replace(origin=origin, fingerprint=prepared.also("extension", job.id))


def take_source(body: Body, jobs: Jobs, *, owner: str) -> Record | bytes:
    """Take `video`, {id} or a file, out of an extension's body. Raises: InvalidRequest, NotFound."""
    named = body.fields.pop("video", None)
    if named is None and body.video is not None:
        return body.video
    if named is None or body.video is not None:
        raise InvalidRequest.of("video", 'need {"id": "video_…"}, or a file')
    return jobs.get(_id_of(named), owner=owner)


def take_video_id(body: Body) -> str:
    """Take `video` {id} out of a body's fields. Raises: InvalidRequest."""
    return _id_of(body.fields.pop("video", None))


def _changed(job: Job, fields: Mapping[str, Any], images: dict[str, bytes], jobs: Jobs, tools: Tools) -> Intake:
    """Merge the other video's request with the new fields. Add those of its images that the new request can use."""
    # after a preset, keep every value: even a default may differ from what a new preset would fill in
    was_filled = job.request.preset is not None
    exclude = _NOT_TAKEN_OVER | (tools.planner.preset_fields if "preset" in fields else set())
    kept = job.request.model_dump(mode="json", exclude_defaults=not was_filled, exclude=exclude)
    if "resolution" in fields and "size" not in fields:
        del kept["size"]
    for chosen, its_own in _GOES_WITH.items():
        if chosen in fields and its_own not in fields:
            kept.pop(its_own, None)
    card = tools.planner.models().get(str(fields.get("model") or job.request.model))
    goes_forward = card is not None and card.kind == "f1"
    for name in ("keyframes", "loop") if goes_forward else ():
        kept.pop(name, None)
    request = checked(fields, {}, tools.planner, kept=kept).request
    wanted = {"input_reference"}
    if not goes_forward:
        wanted |= {frame.image for frame in request.keyframes}
        if not job.request.loop and not request.loop:
            wanted.add("end_image")
    names = input_names(job.request, job.plan, tools.planner)
    found = {part: job.inputs[names[part]] for part in wanted - images.keys() if names.get(part) in job.inputs}
    return Intake(request, images | {part: verified(jobs.store, artifact) for part, artifact in found.items()})


def _shared(
    record: Record, prepared: Prepared, images: Mapping[str, bytes], from_section: int, jobs: Jobs
) -> dict[str, Artifact]:
    """Return the artifacts to share: sections before `from_section`, their previews and, if equal, their clips."""
    old, new = record.job, prepared
    faults = dict.fromkeys(images, _NEEDS_0)
    for name in _FIXED:
        if getattr(old.request, name) != getattr(new.request, name):
            faults[name] = _NEEDS_0
    if len(record.head.state.numeric_classes) > 1 and not new.request.allow_mixed:
        faults["allow_mixed"] = "the sections to share have several numeric classes; set it to true"
    if (old.plan.height, old.plan.width) != (new.plan.height, new.plan.width):
        faults["size"] = _NEEDS_0
    if old.plan.sections != new.plan.sections and new.plan.kind == "i2v":
        faults["seconds"] = "an i2v model makes the end first, so another length needs from_section=0"
    if from_section >= new.plan.sections:
        faults["from_section"] = f"the video has sections 0 to {new.plan.sections - 1}"
    if faults:
        raise InvalidRequest.naming(faults)
    done = len(record.head.state.sections)
    if from_section > done:
        raise NotReady(f"{old.id} has {done} finished sections, but from_section={from_section} shares {from_section}")
    names = [f"{kind}/{k}" for kind in ("section", "preview") for k in range(from_section)]
    if all(getattr(old.request, name) == getattr(new.request, name) for name in _DECODED_BY):
        same = [k for k in range(from_section) if old.plan.final_frames[k] == new.plan.final_frames[k]]
        names += [f"{kind}/{k}" for kind in ("clip", "frames") for k in same]
    found = {name: jobs.artifact(record, name) for name in names}
    return {name: artifact for name, artifact in found.items() if artifact is not None}


def _facts(job: Job) -> VideoFacts | None:
    """Return the facts of the video that `job` extends, if any."""
    if "source" not in job.inputs:
        return None
    plan = job.plan
    return VideoFacts(frames=plan.source_frames, height=plan.height, width=plan.width, fps=plan.fps)


def _look_at(data: bytes, tools: Tools) -> VideoFacts:
    with tempfile.NamedTemporaryFile(prefix="framefarm-source-") as file:
        file.write(data)
        file.flush()
        facts = tools.media.look_at(file.name)
    if facts.height * facts.width > tools.settings.max_pixels:
        raise TooLarge(f"video has {facts.width}x{facts.height} px (FARM_MAX_PIXELS)", param="video")
    if facts.frames > _MAX_SOURCE_S * facts.fps:
        raise TooLarge(
            f"video lasts {facts.frames / facts.fps:.0f} s; send at most its last {_MAX_SOURCE_S} s", param="video"
        )
    return facts


def _forward_model(name: str | None, tools: Tools) -> str | None:
    """Return the F1 model that extends a video of model `name`. An unknown name stays, for `prepare` to reject."""
    models = tools.planner.models()
    wanted = models.get(name or default_model(tools.settings, tools.planner))
    return name if wanted is None else wanted.forward


def _id_of(named: object) -> str:
    """Read the id in {"id": …}, given as an object or as its JSON text."""
    if isinstance(named, str):
        try:
            named = json.loads(named)
        except (ValueError, RecursionError) as err:
            raise InvalidRequest.of("video", f"this text is not JSON: {err}") from err
    if not isinstance(named, Mapping) or set(named) != {"id"} or not isinstance(named["id"], str):
        raise InvalidRequest.of("video", 'need {"id": "video_…"} and nothing else, or a file')
    return str(named["id"])


def _whole_number(value: object) -> int:
    text = str(value)
    if isinstance(value, bool) or not re.fullmatch(r"\d{1,6}", text, re.ASCII):
        raise InvalidRequest.of("from_section", "need a whole number from 0 on")
    return int(text)
