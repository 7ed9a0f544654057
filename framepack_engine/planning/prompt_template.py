"""How a prompt is put to the text encoders: the template around it, and lengths in tokens. Loads no torch."""

from __future__ import annotations

PROMPT_TOKENS = 256  #: room for the prompt and the end of the template
CROPPED_TOKENS = 95  #: of the template before the prompt, begin-of-text included
CLIP_TOKENS = 77

#: Source: HunyuanVideo's video template, as in diffusers' pipeline_hunyuan_video_framepack.py. A test compares the two:
#: importing that pipeline takes seconds, and warns without torchvision.
TEMPLATE = (
    "<|start_header_id|>system<|end_header_id|>\n\nDescribe the video by detailing the following aspects: "
    "1. The main content and theme of the video."
    "2. The color, shape, size, texture, quantity, text, and spatial relationships of the objects."
    "3. Actions, events, behaviors temporal relationships, physical movement changes of the objects."
    "4. background environment, light, style and atmosphere."
    "5. camera angles, movements, and transitions used in the video:<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\n{}<|eot_id|>"
)
