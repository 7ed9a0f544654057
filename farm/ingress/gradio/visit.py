"""A visit to a door: who asks, at which door, and by which address of the farm."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from fastapi import Depends, Request

from farm.errors import InvalidRequest
from farm.ingress.dependencies import Dependencies, Deps, ScriptDep
from farm.ingress.gradio.doors import DOORS, Door
from farm.jobs.scripts import ScriptSession

_SESSION_CHARS = 200


class Visit(NamedTuple):
    """The facts that every call of a client has."""

    door: Door
    owner: str
    deps: Dependencies
    address: str  #: of the farm, as the client reaches it

    def session(self, name: object) -> ScriptSession:
        """Return the owner's session of this name; "" is that of calls without one. Raises: InvalidRequest."""
        if not isinstance(name, str) or len(name) > _SESSION_CHARS:
            raise InvalidRequest.of("session_hash", f"need a text of at most {_SESSION_CHARS} characters")
        return ScriptSession(self.deps.jobs.store, owner=self.owner, name=name)


async def door_of(request: Request) -> Door:
    """Return the door that the path is below."""
    return next(door for door in reversed(DOORS) if request.url.path.startswith(f"{door.path}/"))


DoorDep = Annotated[Door, Depends(door_of)]


async def _visit(request: Request, door: DoorDep, owner: ScriptDep, deps: Deps) -> Visit:
    return Visit(door, owner, deps, str(request.base_url).rstrip("/"))


VisitDep = Annotated[Visit, Depends(_visit)]
