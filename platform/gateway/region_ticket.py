"""How a client that follows a redirect to another region is known there.

HTTP and WebSocket libraries take the key out of a request before they follow a redirect to another host, and
rightly so. The address that they are sent to therefore has an access token of that key, for seconds and audio
alone. Who came by a token gets none: its life would be longer than whoever issued it wanted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway import query, tokens
from gateway.auth import Authenticated, Credentials, credentials
from gateway.errors import AccessRefused
from tenants.access import Scope
from tenants.errors import KeyMissing, TokenMalformed

NAME = "redirect_token"


def rest_of(scope: Mapping[str, Any], who: Authenticated) -> str:
    """The path and query that were asked for, to be asked for elsewhere."""
    asked = scope["query_string"].decode("latin-1")
    if not who.by_token:
        ticket = tokens.issue(who.grant, scopes=(Scope.LISTEN,))
        asked = f"{asked}&{NAME}={ticket}" if asked else f"{NAME}={ticket}"
    return f"{scope['path']}?{asked}" if asked else str(scope["path"])


def offered(scope: Mapping[str, Any]) -> Credentials | None:
    """The one in the query, if there is no key where keys are. A key is never taken from there."""
    if NAME.encode() not in scope["query_string"]:
        return None
    try:
        credentials(scope["headers"], scope.get("subprotocols", ()))
    except KeyMissing:
        pass
    else:
        return None
    given = query.fields(scope["query_string"]).get(NAME)
    if not given:
        return None
    if not tokens.looks_like_one(given[-1]):
        raise AccessRefused(TokenMalformed())
    return Credentials(given[-1], None)
