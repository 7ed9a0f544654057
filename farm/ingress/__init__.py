"""The HTTP API: a FastAPI application without state."""

from farm.ingress.app import create_app

__all__ = ["create_app"]
