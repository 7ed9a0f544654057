"""Clients that hang up: no fault of the ingress, though Ray Serve tells them as one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ray.exceptions import TaskCancelledError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HangUps:
    """ASGI middleware that tells the application of each hang-up in ASGI's own words.

    Serve cancels its own call that reads from the client, and raises that in `receive`. Where nobody catches it, Serve
    logs a traceback of a hundred lines for each dropped stream.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""

        async def heard() -> Message:
            try:
                return await receive()
            except TaskCancelledError:
                return {"type": "http.disconnect"}

        await self._app(scope, heard if scope["type"] == "http" else receive, send)
