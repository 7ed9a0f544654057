"""From the values of /process to a request of this farm, and from the farm's refusals to the script's words."""

from __future__ import annotations

import base64
import binascii
import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from farm.contract import Planner, Stage, WorkerCard, WorkerState
from farm.errors import FarmError, InvalidRequest
from farm.ingress.gradio.doors import FLOWS
from farm.intake.body import Body, Intake, checked
from farm.jobs.demand import fits, need_for
from farm.ledger.notes import ScriptSections
from farm.request import VideoRequest

_FIELDS = {  #: parameter -> field of the farm, where the names differ
    "input_image": "input_reference",
    "end_frame": "end_image",
    "n_prompt": "negative_prompt",
    "total_second_length": "seconds",
    "steps": "num_inference_steps",
    "cfg": "true_cfg_scale",
    "gs": "guidance_scale",
    "rs": "guidance_rescale",
    "mp4_crf": "crf",
    "use_teacache": "cache",
    "hand_optimization": "cache_threshold",
    "flow_preset": "flow_exponent",
    "save_section_frames": "save_frames",
    "gpu_memory_preservation": "preserve_gb",
    **{f"img{n + 1}": f"keyframe_{n}" for n in range(3)},
}
_PARAMETERS = {field: parameter for parameter, field in _FIELDS.items()}
_TAKEN_OVER = ("prompt", "n_prompt", "total_second_length", "latent_window_size", "steps", "cfg", "gs", "rs")
_MOST_CRF = 51
_THRESHOLD, _THRESHOLD_FOR_HANDS = 0.15, 0.1  #: of TeaCache; a higher one skips more
_OWN_ROOM_GB = 6  #: FramePack's room for its own activations; a plan of this farm counts those by itself
_LATENT_S = 4 / 30  #: of a latent frame
_STAGES: tuple[Stage, ...] = ("encode", "section", "decode")
_UPLOAD = re.compile(r"files/(file-[0-9a-f]{64})")
_REFUSED = re.compile(r"refused/([A-Za-z0-9_-]+=*)")


def upload_path(file_id: str) -> str:
    """Return the path under which clients name an uploaded file."""
    return f"files/{file_id}"


def refused_path(err: FarmError) -> str:
    """Return a path that stands for an upload that the farm refuses.

    gradio's clients hide what an upload answers. They show what a call answers, so the call tells it.
    """
    return f"refused/{base64.urlsafe_b64encode(str(err).encode()).decode()}"


def file_ids(paths: Mapping[str, str]) -> dict[str, str]:
    """Return parameter -> id of the uploaded file whose path it has. Raises: InvalidRequest naming each other path."""
    found, faults = dict[str, str](), dict[str, str]()
    for parameter, path in paths.items():
        if upload := _UPLOAD.fullmatch(path):
            found[parameter] = upload[1]
        else:
            faults[parameter] = _fault(path)
    if faults:
        raise InvalidRequest.naming(faults)
    return found


def _fault(path: str) -> str:
    """Say why a path names no file."""
    with contextlib.suppress(binascii.Error):
        if found := _REFUSED.fullmatch(path):
            return base64.urlsafe_b64decode(found[1]).decode(errors="replace")
    return f"{path[:80]!r} is no uploaded file; name a file of yours with handle_file(), which uploads it"


def body_of(values: Mapping[str, Any], sections: ScriptSections, planner: Planner) -> Body:
    """Return the request that the values of /process ask for; its pictures are named by their ids.

    Raises: InvalidRequest naming each parameter whose file is none.
    """
    fields = {_FIELDS.get(name, name): values[name] for name in _TAKEN_OVER}
    if not values.get("use_random_seed") and values["seed"] != -1:
        fields["seed"] = values["seed"]
    if values["use_teacache"]:
        for_hands = values.get("hand_optimization", False)
        fields |= {"cache": "teacache", "cache_threshold": _THRESHOLD_FOR_HANDS if for_hands else _THRESHOLD}
    if "mp4_crf" in values:
        fields["crf"] = min(values["mp4_crf"], _MOST_CRF)
    if values.get("save_section_frames"):
        fields["save_frames"] = "borders"
    if "flow_preset" in values:
        presets = {preset.name: preset.fields for preset in planner.presets()}
        fields["flow_exponent"] = presets[FLOWS[values["flow_preset"]]]["flow_exponent"]
    pictures = {name: values[name] for name in ("input_image", "end_frame") if values.get(name) is not None}
    files = {_FIELDS[name]: found for name, found in file_ids(pictures).items()}
    keyframes = keyframes_of(sections, values["total_second_length"], values["latent_window_size"], planner)
    if keyframes:
        fields["keyframes"] = [{"at_s": at_s, "image": f"keyframe_{n}"} for n, at_s in keyframes.items()]
        files |= {f"keyframe_{n}": sections.files[n] for n in keyframes}
    return Body(fields, {}, None, files)


def keyframes_of(sections: ScriptSections, seconds: float, window: int, planner: Planner) -> dict[int, float]:
    """Return keyframe -> its second in the video.

    In the fork a section takes the keyframe of the lowest number that is not below its own, and of two equal numbers
    the first. So a number behind the video's first section acts on that one, unless another keyframe is nearer.
    """
    if not sections.numbers:
        return {}
    request = VideoRequest.model_construct(prompt="", seconds=seconds, latent_window_size=window)
    count = planner.sections(request)
    found = dict[int, float]()
    taken = set[int]()
    for n, number in sorted(enumerate(sections.numbers), key=lambda each: (each[1], each[0])):
        section = min(number, count - 1)
        if section not in taken:
            taken.add(section)
            found[n] = round((count - 1 - section + 0.5) * window * _LATENT_S, 6)
    return found


def intake_of(body: Body, planner: Planner, *, preserve_gb: float | None) -> Intake:
    """Check the request like any other; only its prompt may be blank. Raises: InvalidRequest."""
    fields = body.fields if preserve_gb is None else {**body.fields, "preserve_gb": preserve_gb}
    return checked(fields, body.images, planner, may_be_blank=True)


def preserved_gb(asked_gb: float, model: str, workers: Sequence[WorkerState]) -> float | None:
    """Return the memory to leave to other programs: what is asked above FramePack's own room.

    It is never so much that no worker with a GPU fits a stage that such workers do.
    None: each worker's own setting. So it is while no worker with a GPU is known.
    """
    excess = round(asked_gb - _OWN_ROOM_GB, 3)
    cards = [worker.card for worker in workers if worker.card.vram_gib is not None and model in worker.card.models]
    stages = [stage for stage in _STAGES if any(stage in card.stages for card in cards)]  # the CPU does the others
    if excess <= 0 or not stages:
        return None
    rooms = {room for card in cards for room in _rooms_gib(card, model)}
    for gb in sorted({excess, *(room for room in rooms if 0 <= room < excess)}, reverse=True):
        request = VideoRequest.model_construct(prompt="", model=model, preserve_gb=gb)
        if all(any(fits(card, need_for(request, stage, None)) for card in cards) for stage in stages):
            return gb
    return None


def _rooms_gib(card: WorkerCard, model: str) -> Iterable[float]:
    """Yield the memory that the card can leave to other programs beside each stage that it may do for the model."""
    needs = (gib for name, gib in card.needs_gib.items() if name == model or name.startswith(f"{model} decode="))
    return (round((card.vram_gib or 0.0) - max(0.1, gib) - 0.01, 2) for gib in (0.0, *needs))


def in_the_scripts_words(err: FarmError) -> str:
    """Return the farm's message. If the script has another name for a field, add that name."""
    fields, param = err.facts.get("fields"), err.facts.get("param")
    if isinstance(fields, Mapping):
        return "; ".join(_named(name, f"{name}: {text}") for name, text in fields.items())
    return _named(param, str(err)) if isinstance(param, str) else str(err)


def _named(field: str, text: str) -> str:
    return f"{_PARAMETERS[field]}, here {text}" if field in _PARAMETERS else text
