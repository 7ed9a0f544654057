"""The HTTP door: FastAPI, without state."""

from farm.ingress.app import create_app

__all__ = ["create_app"]
