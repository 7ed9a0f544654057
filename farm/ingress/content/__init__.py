"""The files of a video that GET /v1/videos/{id}/content serves."""

from farm.ingress.content.answer import content
from farm.ingress.content.pictures import etag_of, live_picture, lora_preview, stored_picture
from farm.ingress.content.variants import ASSETS, Asked, AskedDep

__all__ = ["ASSETS", "Asked", "AskedDep", "content", "etag_of", "live_picture", "lora_preview", "stored_picture"]
