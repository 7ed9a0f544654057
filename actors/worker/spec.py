"""The engine's specification of a farm's video. Loads no torch, so the ingress judges requests with it too."""

from __future__ import annotations

from farm.contract import AUTO, JobPlan
from farm.request import VideoRequest
from framepack_engine.planning.prompts import TimedPrompt
from framepack_engine.planning.spec import Lora, RenderSpec


def spec_of(request: VideoRequest, plan: JobPlan, *, attention: str = "sdpa") -> RenderSpec:
    """Build the specification of a video.

    attention: used if the request leaves it open. A seed that is not drawn yet counts as 0.
    Raises: InvalidSpec naming the field that the engine cannot render.
    """
    return RenderSpec(
        kind=plan.kind,
        sections=plan.sections,
        height=plan.height,
        width=plan.width,
        seed=request.seed or 0,
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        latent_window_size=request.latent_window_size,
        num_inference_steps=request.num_inference_steps,
        guidance_scale=request.guidance_scale,
        true_cfg_scale=request.true_cfg_scale,
        guidance_rescale=request.guidance_rescale,
        flow_shift=request.flow_shift,
        flow_exponent=request.flow_exponent,
        cache=request.cache,
        cache_threshold=request.cache_threshold,
        attention=attention if request.attention == AUTO else request.attention,
        decode=request.decode,
        decode_tile_px=request.decode_tile_px,
        crf=request.crf,
        loras=tuple(Lora(use.name, use.weight, use.sha256) for use in request.loras),
        prompts=tuple(TimedPrompt(prompt.at_s, prompt.text) for prompt in request.prompts),
        prompt_fade_sections=request.prompt_fade_sections,
        start=request.start,
        continues=plan.source_frames > 0,
    )
