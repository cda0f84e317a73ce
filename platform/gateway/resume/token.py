"""What a client shows to come back: whose stream it is, and how far it was with the final it came with.

A token is signed and holds no word that was said. It suffices by itself where nothing else is left: in
another region, or when a region has forgotten everything. Where the region knows more, that counts.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

import jwt
import msgspec
from django.conf import settings

from gateway.resume.errors import ResumeBadToken
from gateway.resume.state import MAX_TOKEN_LENGTH, Mark, Whole

AUDIENCE = "stenogate:resume"
_ALGORITHM = "HS256"
_FIELDS = {
    "sub": "stream", "ten": "tenant", "prj": "project", "reg": "region", "gen": "generation",
    "oat": "opened_at", "iat": "issued_at", "at": "mark",
}  # fmt: skip
Name = Annotated[str, msgspec.Meta(min_length=1)]


@dataclass(frozen=True)
class Token:
    stream: Name
    tenant: Name
    project: Name
    region: Name
    generation: Annotated[int, msgspec.Meta(ge=1)]  # counts the connections of the stream
    opened_at: Whole  # as all times here: seconds since 1970
    issued_at: Whole
    mark: Mark


def issue(token: Token) -> str:
    claims = {name: msgspec.to_builtins(getattr(token, field)) for name, field in _FIELDS.items()}
    claims["aud"] = AUDIENCE
    return jwt.encode(claims, _signing_key(settings.SECRET_KEY), algorithm=_ALGORITHM)


def read(text: str) -> Token:
    """Raises `ResumeBadToken`."""
    if len(text) > MAX_TOKEN_LENGTH:
        raise ResumeBadToken(f"It has {len(text)} characters.")
    try:
        claims: dict[str, Any] = jwt.decode(
            text,
            _signing_key(settings.SECRET_KEY),
            algorithms=[_ALGORITHM],
            audience=AUDIENCE,
            # When it was made is for us to judge, and other machines' clocks may be ahead.
            options={"require": ["aud", *_FIELDS], "verify_iat": False},
        )
        return msgspec.convert({field: claims[name] for name, field in _FIELDS.items()}, Token)
    except (jwt.InvalidTokenError, ValueError, TypeError):
        raise ResumeBadToken from None


@cache
def _signing_key(secret: str) -> bytes:
    # Not the secret itself: what is signed with it elsewhere is no token, and a token is nothing elsewhere.
    return hmac.digest(secret.encode(), b"stenogate resume tokens", "sha256")
