"""Access tokens: what a server gives a browser instead of its API key. Good for seconds, and for little.

A token is a JWT (HS256) that names its key and no secret; whoever uses it is treated as its key is now, so a
key that is revoked takes its tokens with it. It is checked when a stream or a request begins, not after.
"""

from __future__ import annotations

import hmac
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

import jwt
from django.conf import settings
from django.utils import timezone

from tenants import access, keytext
from tenants.access import KeyGrant, Scope
from tenants.errors import ScopeMissing, TokenExpired, TokenInvalid, TokenMalformed

SHORTEST_S, LONGEST_S, USUAL_S = 1, 3600, 30
# What a token may carry at most: nothing that makes tokens or keys.
GRANTABLE = frozenset({Scope.LISTEN.value, Scope.USAGE_READ.value})
MAX_LENGTH = 2048
ISSUER, AUDIENCE = "stenogate", "stenogate:access"
_ALGORITHM = "HS256"
_CLAIMS = ["iss", "aud", "sub", "key", "scopes", "iat", "exp", "jti"]


@dataclass(frozen=True)
class Token:
    """What a token says, its signature and expiry checked."""

    prefix: str
    key_id: UUID
    scopes: frozenset[str]


def issue(
    grant: KeyGrant,
    *,
    ttl_s: int = USUAL_S,
    scopes: Collection[str] = (Scope.LISTEN,),
    now: datetime | None = None,
) -> str:
    """A token for the key of `grant`, which has been checked, for `ttl_s` seconds from `now`.

    Raises `ScopeMissing` for a scope that the key lacks or that no token may have.
    """
    if not SHORTEST_S <= ttl_s <= LONGEST_S:
        raise ValueError(f"a token lives {SHORTEST_S} to {LONGEST_S} seconds, not {ttl_s}")
    wanted = {str(scope) for scope in scopes}
    if not wanted:
        raise ScopeMissing(f"A token needs a scope. There are for tokens: {_listed(GRANTABLE)}.")
    if beyond := wanted - GRANTABLE:
        raise ScopeMissing(
            f"A token cannot have the scope {_listed(beyond)}. There are for tokens: {_listed(GRANTABLE)}."
        )
    if lacking := wanted - grant.scopes:
        raise ScopeMissing(f"This API key lacks the scope {_listed(lacking)}, so its tokens cannot have it.")
    issued_at = int((now or timezone.now()).timestamp())
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": grant.prefix,
        "key": str(grant.key_id),
        "scopes": sorted(wanted),
        "iat": issued_at,
        "exp": issued_at + ttl_s,
        "jti": uuid.uuid4().hex,
    }
    return jwt.encode(claims, _signing_key(settings.SECRET_KEY), algorithm=_ALGORITHM)


def looks_like_one(secret: str) -> bool:
    """Whether `secret` means to be a token: a JWT begins with a JSON object in base64, a key with `sk_`."""
    return secret.startswith("eyJ")


def read(secret: str, *, now: datetime) -> Token:
    """What the token says; `TokenMalformed`, `TokenInvalid` or `TokenExpired` otherwise."""
    if len(secret) > MAX_LENGTH:
        raise TokenMalformed()
    try:
        claims = jwt.decode(
            secret,
            _signing_key(settings.SECRET_KEY),
            algorithms=[_ALGORITHM],  # never what the token itself asks for
            audience=AUDIENCE,
            issuer=ISSUER,
            # The expiry is compared below, with the caller's clock.
            options={"require": _CLAIMS, "verify_exp": False, "verify_iat": False, "strict_aud": True},
        )
    except jwt.InvalidSignatureError:
        raise TokenInvalid() from None
    except jwt.DecodeError:
        raise TokenMalformed() from None
    except jwt.PyJWTError:
        raise TokenInvalid() from None
    token, expires_at = _token(claims)
    if expires_at <= now.timestamp():
        raise TokenExpired()
    return token


def check(
    token: Token, grant: KeyGrant | None, *, scope: str | None, origin: str | None, now: datetime
) -> KeyGrant:
    """`grant`, with no more scopes than the token has, if it is the token's key and good for this now."""
    if grant is None or not hmac.compare_digest(grant.key_id.bytes, token.key_id.bytes):
        raise TokenInvalid()
    if scope is not None and scope not in token.scopes:
        raise ScopeMissing(
            f"This access token lacks the scope {str(scope)!r}. Use one that has it, or the key."
        )
    access.check_use(grant, scope=scope, origin=origin, now=now)
    return replace(grant, scopes=grant.scopes & token.scopes)


def _token(claims: Mapping[str, Any]) -> tuple[Token, int]:
    """Signed by us, and all the same not believed to be of our shape: another version may have made it."""
    prefix, scopes, expires_at = claims["sub"], claims["scopes"], claims["exp"]
    try:
        key_id = UUID(claims["key"])
    except (ValueError, TypeError, AttributeError):
        raise TokenInvalid() from None
    if (
        not isinstance(prefix, str)
        or len(prefix) != keytext.PREFIX_LENGTH
        or not isinstance(scopes, list)
        or not all(isinstance(scope, str) for scope in scopes)
        or not isinstance(expires_at, int)
    ):
        raise TokenInvalid()
    return Token(prefix, key_id, frozenset(scopes) & GRANTABLE), expires_at


@cache
def _signing_key(secret_key: str) -> bytes:
    """A key of its own, so that nothing else that is signed with SECRET_KEY can pass for a token."""
    return hmac.digest(secret_key.encode(), b"stenogate access tokens", "sha256")


def _listed(scopes: Collection[str]) -> str:
    return ", ".join(map(repr, sorted(scopes)))
