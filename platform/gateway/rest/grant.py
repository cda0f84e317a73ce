"""Access tokens: what a server gives a browser instead of its key."""

from __future__ import annotations

from django.http import HttpRequest
from ninja import Router, Schema
from pydantic import Field

from gateway import tokens
from gateway.rest.access import grant_of
from gateway.rest.operations import operation
from tenants.access import Scope

router = Router(tags=["tokens"])


class GrantRequest(Schema):
    ttl_seconds: int = Field(
        default=tokens.USUAL_S,
        ge=tokens.SHORTEST_S,
        le=tokens.LONGEST_S,
        description="How long the token is good for.",
    )
    scopes: list[str] = Field(
        default=[Scope.LISTEN.value],
        min_length=1,
        max_length=len(Scope),
        description="Some of `listen` and `usage:read`, as far as the key has them.",
    )


class Grant(Schema):
    access_token: str = Field(description="To be sent as `Authorization: Bearer ...`.")
    expires_in: int = Field(description="Seconds.", examples=[30])


@router.post("/auth/grant", **operation(None, Grant, tokens=False), summary="Make an access token")
async def grant_token(request: HttpRequest, body: GrantRequest | None = None) -> Grant:
    """A short-lived token for a browser or an app, which then never sees the API key.

    It opens streams; a stream that it has opened goes on when it expires. It can do nothing that its key
    cannot, ends when its key is revoked, and makes no tokens itself.
    """
    asked = body or GrantRequest()
    token = tokens.issue(grant_of(request), ttl_s=asked.ttl_seconds, scopes=asked.scopes)
    return Grant(access_token=token, expires_in=asked.ttl_seconds)
