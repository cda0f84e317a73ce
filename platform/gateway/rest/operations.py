"""What every operation declares the same way: who may do it, and how it can be refused."""

from __future__ import annotations

from typing import Any

from ninja import Schema
from pydantic import Field

from gateway.rest.access import Needs
from tenants.access import Scope

SCHEMES: dict[str, Any] = {
    "key": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "`Token YOUR_KEY`, with an API key of a project.",
    },
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "An access token of POST /v1/auth/grant, or an API key.",
    },
}


ANY_TEXT: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}


class Problem(Schema):
    """Why a request was refused. `category` and `err_code` are the same stable code: see docs/errors.md."""

    category: str = Field(examples=["bad_parameter"])
    message: str = Field(examples=["A query parameter has a value that is not allowed."])
    details: str = Field(examples=["limit: Input should be less than or equal to 1000."])
    request_id: str
    err_code: str = Field(examples=["bad_parameter"])
    err_msg: str


def operation(
    scope: Scope | None,
    answer: Any,
    *,
    refused: tuple[int, ...] = (),
    tokens: bool = True,
    media: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Arguments for ninja: `refused` are the statuses beside those that any operation can have, `media` what
    the answer can be beside JSON."""
    statuses = sorted({400, 401, 403, 429, 500, 503, *refused})
    return {
        "auth": Needs(scope, tokens=tokens),
        "response": {200: answer, **dict.fromkeys(statuses, Problem)},
        "openapi_extra": {
            "security": [{"key": []}, {"token": []}] if tokens else [{"key": []}],
            "x-scope": scope.value if scope else None,
            **({"responses": {200: {"content": dict.fromkeys(media, ANY_TEXT)}}} if media else {}),
        },
    }


def public_operation(answer: Any) -> dict[str, Any]:
    """The same of what anybody may ask, without a key."""
    return {
        "auth": None,
        "response": {200: answer, **dict.fromkeys((400, 500, 503), Problem)},
        "openapi_extra": {"security": [], "x-scope": None},
    }
