from __future__ import annotations

import base64
import json
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import strategies as st

from gateway import tokens
from tenants import keytext
from tenants.access import KeyGrant, Scope
from tenants.errors import (
    AccessError,
    KeyExpired,
    KeyRevoked,
    OriginNotAllowed,
    ScopeMissing,
    TenantSuspended,
    TokenExpired,
    TokenInvalid,
    TokenMalformed,
)

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
PREFIX, SECRET = keytext.generate()
GRANT = KeyGrant(
    tenant_id=uuid.uuid4(),
    project_id=uuid.uuid4(),
    key_id=uuid.uuid4(),
    prefix=PREFIX,
    sha256=keytext.digest(SECRET),
    scopes=frozenset({"listen", "usage:read", "keys:write"}),
    expires_at=None,
    revoked_at=None,
    allowed_origins=frozenset(),
    tenant_state="active",
)
CLAIMS: dict[str, Any] = {
    "iss": tokens.ISSUER,
    "aud": tokens.AUDIENCE,
    "sub": PREFIX,
    "key": str(GRANT.key_id),
    "scopes": ["listen"],
    "iat": int(NOW.timestamp()),
    "exp": int(NOW.timestamp()) + 30,
    "jti": "one",
}


def signing_key() -> bytes:
    return tokens._signing_key(settings.SECRET_KEY)


def signed(**changes: Any) -> str:
    """A token with our signature and claims that `issue` would not write; None leaves a claim out."""
    claims = {name: value for name, value in (CLAIMS | changes).items() if value is not None}
    return jwt.encode(claims, signing_key(), algorithm="HS256")


def check(token: str, *, grant: KeyGrant | None = GRANT, scope: str | None = "listen", **changes: Any) -> Any:
    if grant is not None:
        grant = replace(grant, **changes)
    return tokens.check(tokens.read(token, now=NOW), grant, scope=scope, origin=None, now=NOW)


def test_a_token_names_its_key_and_no_secret() -> None:
    token = tokens.issue(GRANT, now=NOW)
    assert tokens.looks_like_one(token)
    assert not tokens.looks_like_one(SECRET)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 30
    assert SECRET[-40:] not in json.dumps(claims)
    read = tokens.read(token, now=NOW)
    assert (read.prefix, read.key_id, read.scopes) == (PREFIX, GRANT.key_id, {"listen"})
    assert token != tokens.issue(GRANT, now=NOW), "the jti is its own"


@given(ttl_s=st.integers(1, 3600), later_s=st.integers(0, 4000))
def test_a_token_ends_when_it_was_said_to(ttl_s: int, later_s: int) -> None:
    token = tokens.issue(GRANT, ttl_s=ttl_s, now=NOW)
    now = NOW + timedelta(seconds=later_s)
    if later_s < ttl_s:
        assert tokens.read(token, now=now).prefix == PREFIX
    else:
        with pytest.raises(TokenExpired):
            tokens.read(token, now=now)


@pytest.mark.parametrize("ttl_s", [0, -1, 3601])
def test_no_token_for_longer_than_an_hour(ttl_s: int) -> None:
    with pytest.raises(ValueError, match="1 to 3600"):
        tokens.issue(GRANT, ttl_s=ttl_s)


@pytest.mark.parametrize("scopes", [[], ["keys:write"], ["listen", "keys:write"], ["nonsense"]])
def test_a_token_gets_no_scope_that_tokens_may_not_have(scopes: list[str]) -> None:
    with pytest.raises(ScopeMissing):
        tokens.issue(GRANT, scopes=scopes)


def test_a_token_gets_no_scope_that_its_key_lacks() -> None:
    with pytest.raises(ScopeMissing, match="usage:read"):
        tokens.issue(replace(GRANT, scopes=frozenset({"listen"})), scopes=["usage:read"])


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "stenogate:resume"},
        {"aud": [tokens.AUDIENCE, "another"]},
        {"iss": "elsewhere"},
        {"aud": None},
        {"exp": None},
        {"jti": None},
        {"key": "not a uuid"},
        {"key": 7},
        {"sub": "short"},
        {"scopes": "listen"},
        {"scopes": [7]},
        {"exp": 1e12},
    ],
    ids=str,
)
def test_what_we_signed_for_something_else_is_no_token(changes: dict[str, Any]) -> None:
    assert tokens.read(signed(), now=NOW)
    with pytest.raises(TokenInvalid):
        tokens.read(signed(**changes), now=NOW)


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "HS512", "RS256", "ES256", "", 7, None])
def test_the_algorithm_is_ours_to_choose(algorithm: object) -> None:
    _, payload, signature = signed().split(".")
    for end in (signature, ""):
        with pytest.raises((TokenInvalid, TokenMalformed)):
            tokens.read(f"{part({'alg': algorithm, 'typ': 'JWT'})}.{payload}.{end}", now=NOW)


def test_a_stronger_hash_or_another_key_does_not_open() -> None:
    for forged in (
        jwt.encode(CLAIMS, signing_key() * 2, algorithm="HS512"),
        jwt.encode(CLAIMS, settings.SECRET_KEY, algorithm="HS256"),
        jwt.encode(CLAIMS, "another installation's key, long enough", algorithm="HS256"),
    ):
        with pytest.raises(TokenInvalid):
            tokens.read(forged, now=NOW)


def test_a_token_that_was_changed_is_refused() -> None:
    head, payload, signature = tokens.issue(GRANT, now=NOW).split(".")
    longer = part(CLAIMS | {"exp": CLAIMS["exp"] + 3000, "scopes": ["keys:write"]})
    flipped = ("A" if signature[0] != "A" else "B") + signature[1:]
    for changed in (f"{head}.{longer}.{signature}", f"{head}.{payload}.{flipped}"):
        with pytest.raises(TokenInvalid):
            tokens.read(changed, now=NOW)


@given(st.text(max_size=300).map(lambda text: "eyJ" + text))
def test_garbage_is_refused_by_name(text: str) -> None:
    with pytest.raises((TokenMalformed, TokenInvalid)):
        tokens.read(text, now=NOW)


def test_a_huge_token_is_not_even_read() -> None:
    with pytest.raises(TokenMalformed):
        tokens.read(signed(jti="x" * 4000), now=NOW)
    deep = "eyJ" + part([[[]]] * 100_000)
    with pytest.raises(TokenMalformed):
        tokens.read(deep, now=NOW)


def test_a_token_is_worth_what_its_key_is_worth_now() -> None:
    token = tokens.issue(GRANT, scopes=["listen", "usage:read"], now=NOW)
    assert check(token).scopes == {"listen", "usage:read"}
    assert check(token, scope=None).scopes == {"listen", "usage:read"}
    assert check(token, scopes=frozenset({"listen"})).scopes == {"listen"}
    refused: list[tuple[dict[str, Any], type[AccessError]]] = [
        ({"scopes": frozenset({"usage:read"})}, ScopeMissing),
        ({"scope": "keys:write"}, ScopeMissing),
        ({"revoked_at": NOW}, KeyRevoked),
        ({"expires_at": NOW}, KeyExpired),
        ({"tenant_state": "suspended"}, TenantSuspended),
        ({"allowed_origins": frozenset({"https://a.example"})}, OriginNotAllowed),
        ({"key_id": uuid.uuid4()}, TokenInvalid),
        ({"grant": None}, TokenInvalid),
    ]
    for changes, error in refused:
        with pytest.raises(error):
            check(token, **changes)


def test_a_token_does_not_grow_with_its_key() -> None:
    with pytest.raises(ScopeMissing, match="token lacks"):
        check(tokens.issue(GRANT, scopes=["listen"], now=NOW), scope="usage:read")


def test_a_scope_is_named_as_it_is_written() -> None:
    with pytest.raises(ScopeMissing, match=r"lacks the scope 'usage:read'\."):
        check(tokens.issue(GRANT, scopes=["listen"], now=NOW), scope=Scope.USAGE_READ)
