"""FramePack-Studio's and FramePack-eichi's names of settings, as fields of a request.

Sources: FP-Studio/FramePack-Studio modules/pipelines/metadata_utils.py; git-ai-code/FramePack-eichi
webui/eichi_utils/png_metadata.py. In a PNG every value is a text; `None`, `True` and `False` are Python's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

#: Studio's name -> the field that means the same
_SAME = {
    "prompt": "prompt",
    "negative_prompt": "negative_prompt",
    "seed": "seed",
    "steps": "num_inference_steps",
    "cfg": "true_cfg_scale",
    "gs": "guidance_scale",
    "rs": "guidance_rescale",
    "total_second_length": "seconds",
    "latent_window_size": "latent_window_size",
}
_OLD_NAMES = {"prompt_text": "prompt", "n_prompt": "negative_prompt"}  #: of a job's own parameters
_NO_COUNTERPART = {
    "latent_type": "it acts only without a start image; `start` is grey or noise here",
    "num_cleaned_frames": "the farm extends from the history that the model was trained with",
    "end_frame_strength": "an end image acts fully here",
    "teacache_num_steps": "the cache counts the steps of the request",
    "magcache_max_consecutive_skips": "the cache has a threshold only",
    "magcache_retention_ratio": "the cache has a threshold only",
    "combine_with_source": "an extension always holds the video that it extends",
    "video_path": "send the video as `video` to POST /v1/videos/extensions",
    "input_video": "send the video as `video` to POST /v1/videos/extensions",
    **dict.fromkeys(("x_param", "y_param", "x_values", "y_values"), "ask for variants with `seeds`, or one by one"),
}
#: Studio's notes of a job besides its settings
_NOTES = frozenset(
    {
        *("app_version", "timestamp", "generation_type", "has_input_image", "input_image_path", "end_frame_image_path"),
        *("end_frame_used", "id", "job_id", "status", "created_at", "started_at", "completed_at", "error", "result"),
        *("queue_position", "saved_input_image_path", "saved_end_frame_image_path", "params", "selected_loras"),
        *("lora_values", "lora_loaded_names", "input_files_dir", "output_dir", "metadata_dir", "width", "height"),
    }
)
_TAKEN = frozenset(
    {
        *("model_type", "resolutionW", "resolutionH", "blend_sections", "use_teacache", "teacache_rel_l1_thresh"),
        *("use_magcache", "magcache_threshold", "loras"),
    }
)
_STAMP = re.compile(r"\[\s*[0-9.]+\s*s", re.IGNORECASE)


class LeftOut(NamedTuple):
    """A setting that did not become a field."""

    name: str
    value: Any
    why: str


def from_studio(told: Mapping[str, Any]) -> tuple[dict[str, Any], list[LeftOut]]:
    """Return the fields of a request, and what has no counterpart."""
    told = {_OLD_NAMES.get(name, name): _plain(value) for name, value in told.items()}
    fields = {field: told[name] for name, field in _SAME.items() if told.get(name) not in (None, "")}
    left_out = [
        LeftOut(name, value, _NO_COUNTERPART.get(name, "this farm does not know it"))
        for name, value in told.items()
        if not (value is None or name in _SAME or name in _NOTES or name in _TAKEN)
    ]
    left_out += _model(told, fields) + _size(told, fields) + _cache(told, fields) + _fade(told, fields)
    return fields, left_out + _loras(told, fields)


def from_eichi(told: Mapping[str, str]) -> tuple[dict[str, Any], list[LeftOut]]:
    """Return the fields that eichi's texts give. `parameters` is the prompt, then `Seed: N`, `Section Prompt: …`."""
    lines = told.get("parameters", "").splitlines()
    named = dict(line.split(": ", 1) for line in lines if re.match(r"(Seed|Section Prompt|Section Number): ", line))
    prompt = "\n".join(line for line in lines if line.partition(": ")[0] not in named)
    fields: dict[str, Any] = {"prompt": told.get("prompt") or prompt, "seed": told.get("seed") or named.get("Seed")}
    why = "it is of one section; write it into `prompts` with the time at which it begins"
    left_out = [
        LeftOut(name, value, why)
        for name, line in (("section_prompt", "Section Prompt"), ("section_number", "Section Number"))
        if (value := told.get(name) or named.get(line))
    ]
    known = {"prompt", "seed", "section_prompt", "section_number", "parameters"}
    left_out += [LeftOut(name, text, "this farm does not know it") for name, text in told.items() if name not in known]
    return {name: value for name, value in fields.items() if value}, left_out


def _plain(value: Any) -> Any:
    """Return what a PNG's text stands for. Numbers stay texts; the request's own check reads them."""
    return {"None": None, "True": True, "False": False}.get(value, value) if isinstance(value, str) else value


def _model(told: Mapping[str, Any], fields: dict[str, Any]) -> list[LeftOut]:
    kind = told.get("model_type")
    if kind is None:
        return []
    words = str(kind).split()
    if words[:1] not in (["Original"], ["F1"], ["Video"]):
        return [LeftOut("model_type", kind, "ask for variants with `seeds`, or one by one")]
    fields["model"] = "framepack-f1" if "F1" in words or words[0] == "Video" else "framepack-i2v"
    if words[0] == "Video" and "F1" not in words:
        return [LeftOut("model_type", kind, "the farm extends videos with an F1 model only")]
    if "F1" in words and "Endframe" in words:
        return [LeftOut("model_type", kind, "an F1 model cannot use an end image; it became framepack-f1 without one")]
    return []


def _size(told: Mapping[str, Any], fields: dict[str, Any]) -> list[LeftOut]:
    """Studio takes the bucket of the class `resolutionW` that is nearest to the start image, as the farm does."""
    width, height = told.get("resolutionW"), told.get("resolutionH")
    if width is not None:
        fields["resolution"] = width
    if height is None or height == width:
        return []
    return [LeftOut("resolutionH", height, "with a start image the width gives the size class; set `size` for both")]


def _cache(told: Mapping[str, Any], fields: dict[str, Any]) -> list[LeftOut]:
    left_out = []
    for cache, threshold in (("teacache", "teacache_rel_l1_thresh"), ("magcache", "magcache_threshold")):
        if told.get(f"use_{cache}") is True and "cache" not in fields:
            fields["cache"] = cache
            if told.get(threshold) is not None:
                fields["cache_threshold"] = told[threshold]
        elif told.get(f"use_{cache}") is True:
            left_out.append(LeftOut(f"use_{cache}", told[f"use_{cache}"], "a video has one cache; teacache is taken"))
        elif told.get(threshold) is not None:
            left_out.append(LeftOut(threshold, told[threshold], f"use_{cache} is off"))
    return left_out


def _fade(told: Mapping[str, Any], fields: dict[str, Any]) -> list[LeftOut]:
    sections = told.get("blend_sections")
    if sections is None:
        return []
    if not _STAMP.search(str(fields.get("prompt", ""))):
        return [LeftOut("blend_sections", sections, "it acts only between prompts with times")]
    fields["prompt_fade_sections"] = sections
    return []


def _loras(told: Mapping[str, Any], fields: dict[str, Any]) -> list[LeftOut]:
    loras = told.get("loras")
    if isinstance(loras, Mapping) and loras:
        fields["loras"] = [{"name": str(name), "weight": weight} for name, weight in loras.items()]
    elif loras:
        return [LeftOut("loras", loras, "need an object of names and weights")]
    return []
