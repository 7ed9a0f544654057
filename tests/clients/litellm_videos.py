"""LiteLLM against a farm: python litellm_videos.py URL PICTURE. Prints what it got as JSON."""

from __future__ import annotations

import base64
import json
import sys
import time
from pathlib import Path
from typing import Any

import litellm
from litellm.types.videos.utils import extract_original_video_id

url, picture = sys.argv[1:]
farm = {"api_base": f"{url}/v1", "api_key": "any", "custom_llm_provider": "openai", "timeout": 600}
few = {"num_inference_steps": 1, "latent_window_size": 2, "seed": 7}


def ended(video: Any) -> Any:
    """Poll until the video has ended."""
    while video.status in {"queued", "in_progress"}:
        time.sleep(0.1)
        video = litellm.video_status(video.id, **farm)
    return video


def own_id(text: str) -> str:
    """Return the farm's id; LiteLLM packs the provider's name and the model into its own."""
    return str(extract_original_video_id(text))


asked = litellm.video_generation(
    "a cat",
    model="tiny",
    seconds="1",
    size="64x64",
    input_reference=Path(picture).read_bytes(),
    extra_body=few,
    **farm,
)
video = ended(asked)
content = litellm.video_content(video.id, **farm)
remix = ended(litellm.video_remix(video.id, "a dog", **farm))
listed = litellm.video_list(**farm)
try:
    litellm.video_generation("a cat", model="tiny", seconds="1000", size="64x64", **farm)
except litellm.BadRequestError as err:
    refused = str(err)
found = {
    "video": {**video.model_dump(), "id": own_id(video.id)},
    "remix": {**remix.model_dump(), "id": own_id(remix.id)},
    "listed": [own_id(each["id"]) for each in listed["data"]],
    "refused": refused,
    "content": base64.b64encode(content).decode(),
}
print(json.dumps(found))
