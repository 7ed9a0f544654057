"""How FramePack puts a prompt to Llama: HunyuanVideo's instructions in front, 95 tokens that are cropped afterwards."""

from __future__ import annotations

PROMPT_TOKENS = 256  #: room for the prompt and what follows it, behind the cropped prefix
CROPPED_TOKENS = 95  #: length of the prefix, begin-of-text included
CLIP_TOKENS = 77

#: Source: HunyuanVideo's video template, as in diffusers' pipeline_hunyuan_video_framepack.py (a test compares them;
#: importing that pipeline costs seconds and warns without torchvision).
TEMPLATE = (
    "<|start_header_id|>system<|end_header_id|>\n\nDescribe the video by detailing the following aspects: "
    "1. The main content and theme of the video."
    "2. The color, shape, size, texture, quantity, text, and spatial relationships of the objects."
    "3. Actions, events, behaviors temporal relationships, physical movement changes of the objects."
    "4. background environment, light, style and atmosphere."
    "5. camera angles, movements, and transitions used in the video:<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\n{}<|eot_id|>"
)
