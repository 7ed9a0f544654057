"""Sign-in for browsers: a `<video>`, an `<img>` and an EventSource send cookies, but no Authorization header."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from farm.errors import Forbidden, Unauthorized
from farm.ingress.dependencies import (
    CallerDep,
    Dependencies,
    Deps,
    check_own_machine,
    cookie_name,
    is_own_page,
)
from farm.ingress.signing.seals import SESSION_S
from farm.intake.body import SMALL_BYTES, read_body
from farm.keys import LOCAL_OWNER, name_of, parse_keys
from farm.request import Sent, validated

router = APIRouter(tags=["sessions"])


class SignIn(BaseModel):
    """The token with which the page signs in."""

    key: str = Field("", description="an API key of this farm")


class LogIn(BaseModel):
    """The user name and password with which gradio's clients sign in."""

    username: str = Field("", description="the name of the API key")
    password: str = Field("", description="the API key")


def _body(kind: str, fields: type[BaseModel]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {kind: {"schema": fields.model_json_schema()}}}}


@router.post("/v1/session", openapi_extra=_body("application/json", SignIn))
async def sign_in(request: Request, response: Response, deps: Deps) -> dict[str, Any]:
    """Sign a browser in for 30 days: the answer sets a cookie that stands for the API key."""
    sent = await _read(request, SignIn)
    return await _signed_in(sent.key, request, response, deps)


@router.post("/login", openapi_extra=_body("application/x-www-form-urlencoded", LogIn))
async def log_in(request: Request, response: Response, deps: Deps) -> dict[str, Any]:
    """Sign in as gradio's clients do with auth=(NAME, KEY): the answer sets the cookie of POST /v1/session."""
    sent = await _read(request, LogIn)
    return {"success": True, **await _signed_in(sent.password, request, response, deps, name=sent.username)}


@router.delete("/v1/session")
async def sign_out(_caller: CallerDep, request: Request, response: Response, deps: Deps) -> dict[str, Any]:
    """Sign the browser out: the answer removes the cookie. Other browsers stay signed in."""
    response.delete_cookie(cookie_name(request, deps.settings), httponly=True, samesite="strict")
    return {"object": "session.deleted", "deleted": True}


async def _read(request: Request, fields: type[Sent]) -> Sent:
    body = await read_body(request, max_bytes=SMALL_BYTES, setting="the most for a sign-in")
    return validated(fields, body.fields)


async def _signed_in(
    key: str, request: Request, response: Response, deps: Dependencies, *, name: str | None = None
) -> dict[str, Any]:
    """Check the key and set the cookie. A farm without keys has no sessions. Raises: Unauthorized, Forbidden."""
    if {"origin", "sec-fetch-site"} & set(request.headers.keys()) and not is_own_page(request):
        raise Forbidden("only a page of this farm signs a browser in")  # or else another site could, as somebody else
    keys = parse_keys(deps.settings.api_keys)
    if not keys:
        check_own_machine(request, deps.settings)
        return {"object": "session", "owner": LOCAL_OWNER, "expires_at": None}
    owner = name_of(key.strip(), keys)
    if owner is None or name not in {None, owner}:
        of_name = "" if name is None else f" with the name {name[:80]!r}"
        raise Unauthorized(f"this farm has no such API key{of_name}")
    session = await deps.seals.session(owner, keys)
    is_https = request.url.scheme == "https" or request.headers.get("origin", "").startswith("https://")
    response.set_cookie(
        cookie_name(request, deps.settings),
        session.text,
        max_age=SESSION_S,
        secure=is_https,  # a proxy with TLS speaks plain HTTP to the farm, but hands on the browser's Origin
        httponly=True,
        samesite="strict",
    )
    return {"object": "session", "owner": owner, "expires_at": session.expires_at}
