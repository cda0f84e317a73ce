"""The key that is left behind by a redirect, and what stands for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway import region_ticket, tokens
from gateway.auth import Authenticated
from gateway.errors import AccessRefused
from gateway.tests.doors import grant
from tenants.errors import TokenExpired

GRANT = grant(prefix="p" * 12, scopes=frozenset({"listen", "keys:write"}))


def scope(
    query: str = "", *headers: tuple[bytes, bytes], subprotocols: tuple[str, ...] = ()
) -> dict[str, Any]:
    return {
        "path": "/v1/listen",
        "query_string": query.encode(),
        "headers": list(headers),
        "subprotocols": list(subprotocols),
    }


def sent_on(query: str, *, by_token: bool = False) -> str:
    """What the next region is asked."""
    rest = region_ticket.rest_of(scope(query), Authenticated(GRANT, None, by_token))
    path, _, asked = rest.partition("?")
    assert path == "/v1/listen"
    return asked


def test_a_redirect_carries_a_token_of_the_key_for_seconds_and_for_audio_alone() -> None:
    asked = sent_on("model=nova-3&keyterm=a%20b")
    assert asked.startswith("model=nova-3&keyterm=a%20b&redirect_token=eyJ")
    found = region_ticket.offered(scope(asked))
    assert found is not None
    now = datetime.now(UTC)
    token = tokens.read(found.secret, now=now)
    assert (token.key_id, token.scopes) == (GRANT.key_id, {"listen"})
    with pytest.raises(TokenExpired):
        tokens.read(found.secret, now=now + timedelta(seconds=tokens.USUAL_S + 1))
    assert region_ticket.offered(scope(sent_on(""))) is not None


def test_who_came_by_a_token_gets_no_other_that_lives_longer() -> None:
    assert sent_on("model=nova-3", by_token=True) == "model=nova-3"
    assert sent_on("", by_token=True) == ""


def test_a_key_that_was_not_left_behind_counts() -> None:
    asked = sent_on("")
    assert region_ticket.offered(scope(asked, (b"authorization", b"Token sk_x"))) is None
    assert region_ticket.offered(scope(asked, subprotocols=("token", "sk_x"))) is None
    assert region_ticket.offered(scope("model=nova-3")) is None
    assert region_ticket.offered(scope("model=redirect_token")) is None


@pytest.mark.parametrize("query", ["redirect_token=", "redirect_token=sk_abc", "redirect_token=x&a=b"])
def test_nothing_but_a_token_is_taken_from_an_address(query: str) -> None:
    with pytest.raises(AccessRefused) as refused:
        region_ticket.offered(scope(query))
    assert refused.value.code == "token_malformed"
