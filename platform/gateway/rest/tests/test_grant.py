"""Tokens by way of the REST API; what they are is tested in gateway/tests/test_tokens.py."""

from __future__ import annotations

from typing import Any

import jwt

from gateway.rest.tests.conftest import Asker, House, key_of

GRANT = "/v1/auth/grant"


def bearer(token: str) -> Asker:
    return Asker(token)


def life(token: str) -> int:
    claims = jwt.decode(token, options={"verify_signature": False})
    return int(claims["exp"] - claims["iat"])


def test_a_token_is_good_for_30_seconds_unless_asked(ask: Asker) -> None:
    for body in (None, {}, {"ttl_seconds": 30}, {"ttl_seconds": 30.0}, b""):
        answer = ask.post(GRANT, body)
        assert answer.status == 200
        assert set(answer.body) == {"access_token", "expires_in"}
        assert answer.body["expires_in"] == 30
        assert life(answer.body["access_token"]) == 30


def test_for_a_second_to_an_hour(ask: Asker) -> None:
    for ttl_s in (1, 3600):
        answer = ask.post(GRANT, {"ttl_seconds": ttl_s})
        assert answer.body["expires_in"] == ttl_s
        assert life(answer.body["access_token"]) == ttl_s


NONSENSE: list[dict[str, Any]] = [
    *({"ttl_seconds": value} for value in (0, 3601, 1.5, "soon", None, -1, 10**30)),
    *({"scopes": value} for value in ([], "listen", ["listen"] * 100)),
]


def test_what_makes_no_sense_is_named(ask: Asker) -> None:
    for body in NONSENSE:
        answer = ask.post(GRANT, body)
        assert (answer.status, answer.code) == (400, "bad_body"), body
        assert next(iter(body)) in answer.body["details"]


def test_a_token_has_no_more_than_its_key_and_never_makes_keys_or_tokens(
    ask: Asker, house: House, acme: Any
) -> None:
    for scopes in (["keys:write"], ["listen", "projects:read"], ["nonsense"]):
        answer = ask.post(GRANT, {"scopes": scopes})
        assert (answer.status, answer.code) == (403, "scope_missing")
    reader = key_of(acme, ["usage:read"])
    assert reader.post(GRANT, {}).code == "scope_missing"
    token = reader.post(GRANT, {"scopes": ["usage:read"]}).body["access_token"]
    assert bearer(token).get(f"/v1/projects/{acme.project.id}/usage").status == 200
    assert bearer(token).get("/v1/projects").code == "scope_missing"
    assert bearer(token).get("/v1/models").status == 200
    again = bearer(token).post(GRANT, {})
    assert (again.status, again.code) == (403, "token_not_allowed")
