"""What a user may ask for: the fields of POST /v1/videos, their limits and defaults (docs in the field text)."""
# H-INGRESS writes this file in full
from __future__ import annotations
from pydantic import BaseModel, ConfigDict

class VideoRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    prompt: str
