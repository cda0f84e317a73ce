"""What a client shows to come back: whose stream it is, and how far it was with the final it came with.

A token is signed and holds no word that was said. It suffices by itself where nothing else is left: in
another region, or when a region has forgotten everything. Where the region knows more, that counts.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from functools import cache
from typing import Any

import jwt
import msgspec
from django.conf import settings

from gateway.resume.errors import ResumeBadToken
from gateway.resume.state import MAX_TOKEN_LENGTH, Mark

AUDIENCE = "stenogate:resume"
_ALGORITHM = "HS256"
_CLAIMS = ["aud", "sub", "ten", "prj", "reg", "gen", "oat", "iat", "at"]


@dataclass(frozen=True)
class Token:
    stream: str
    tenant: str
    project: str
    region: str
    generation: int  # counts the connections of the stream
    opened_at: int  # as all times here: seconds since 1970
    issued_at: int
    mark: Mark


def issue(token: Token) -> str:
    claims = {
        "aud": AUDIENCE,
        "sub": token.stream,
        "ten": token.tenant,
        "prj": token.project,
        "reg": token.region,
        "gen": token.generation,
        "oat": token.opened_at,
        "iat": token.issued_at,
        "at": msgspec.to_builtins(token.mark),
    }
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
            options={"require": _CLAIMS, "verify_iat": False},
        )
        return Token(
            stream=claims["sub"],
            tenant=claims["ten"],
            project=claims["prj"],
            region=claims["reg"],
            generation=int(claims["gen"]),
            opened_at=int(claims["oat"]),
            issued_at=int(claims["iat"]),
            mark=msgspec.convert(claims["at"], Mark),
        )
    except (jwt.InvalidTokenError, msgspec.ValidationError, ValueError, TypeError, RecursionError):
        raise ResumeBadToken from None


@cache
def _signing_key(secret: str) -> bytes:
    # Not the secret itself: what is signed with it elsewhere is no token, and a token is nothing elsewhere.
    return hmac.digest(secret.encode(), b"stenogate resume tokens", "sha256")
