"""Tokens: ours or nobody's, and no longer than an address can hold."""

from __future__ import annotations

import base64
import json
import time
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import jwt
import msgspec
import pytest
from django.conf import settings
from django.test import override_settings

from gateway import tokens
from gateway.resume import token
from gateway.resume.errors import ResumeBadToken
from gateway.resume.state import MAX_TOKEN_LENGTH
from gateway.resume.tests.marks import lane, mark
from gateway.resume.tests.marks import token as made
from gateway.tests.doors import grant
from tenants.errors import TokenInvalid

TOKEN = made(grant(), mark=mark(7, lane(told_ms=5_000, processed=96_000, input_ms=6_000), lane(skipped_ms=1)))


def claims() -> dict[str, Any]:
    read: dict[str, Any] = jwt.decode(token.issue(TOKEN), options={"verify_signature": False})
    return read


def signed(changes: dict[str, Any], *, key: bytes | None = None) -> str:
    return jwt.encode(claims() | changes, key or token._signing_key(settings.SECRET_KEY), algorithm="HS256")


def refused(text: str) -> bool:
    with pytest.raises(ResumeBadToken):
        token.read(text)
    return True


def test_what_was_issued_is_read() -> None:
    assert token.read(token.issue(TOKEN)) == TOKEN
    assert token.read(signed({})) == TOKEN


def test_no_word_is_in_it() -> None:
    assert set(claims()) == {"aud", "sub", "ten", "prj", "reg", "gen", "oat", "iat", "at"}
    assert claims()["at"] == [7, [[0, 5_000, 96_000, 6_000, 0, True, 0], [0, 0, 0, 0, 0, True, 1]]]


def test_one_changed_letter_makes_it_nothing() -> None:
    text = token.issue(TOKEN)
    for place in range(0, len(text), 7):
        # Not the bits of the last letter that nobody reads.
        other = "A" if text[place] != "A" else "Q"
        assert text[place] == "." or refused(text[:place] + other + text[place + 1 :])
    assert refused(text[:-5])


def test_another_secret_another_audience_and_no_algorithm_are_refused() -> None:
    text = token.issue(TOKEN)
    with override_settings(SECRET_KEY="another" * 9):
        assert refused(text)
    assert refused(signed({"aud": "stenogate:other"}))
    assert refused(signed({}, key=settings.SECRET_KEY.encode()))
    assert refused(jwt.encode(claims(), None, algorithm="none"))


def test_an_access_token_is_none_and_this_is_no_access_token() -> None:
    now = datetime.now(UTC)
    assert refused(tokens.issue(grant(), now=now))
    with pytest.raises(TokenInvalid):
        tokens.read(token.issue(TOKEN), now=now)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "a.b.c",
        "null",
        "\0",
        "\ud800",
        "é.é.é",
        "x" * (MAX_TOKEN_LENGTH + 1),
        base64.urlsafe_b64encode(b"[" * 2900).decode().rstrip("=") + ".e30.e30",
        base64.urlsafe_b64encode(b'{"alg":"HS256","kid":7}').decode().rstrip("=") + ".e30.e30",
    ],
    ids=range(11),
)
def test_what_is_no_token_is_refused_by_name(text: str) -> None:
    assert refused(text)


LANE = [0, 0, 0, 0, 0, True]


@pytest.mark.parametrize(
    "changes",
    [
        {"at": [0, []]},
        {"at": [0, None]},
        {"at": []},
        {"at": {}},
        {"at": [-1, [LANE]]},
        {"at": [0, [[-1, *LANE[1:]]]]},
        {"at": [0, [[0, 0, 0, 0, -5, True]]]},
        {"at": [0, [[1 << 41, *LANE[1:]]]]},
        {"at": [0, [[1.5, *LANE[1:]]]]},
        {"at": [0, [LANE[:-1]]]},
        {"gen": "x"},
        {"gen": None},
        {"gen": 0},
        {"gen": -1},
        {"oat": {}},
        {"sub": 7},
        {"sub": ""},
        {"ten": None},
        {"iat": "soon"},
    ],
    ids=json.dumps,
)
def test_what_nobody_issued_is_refused_though_it_is_signed(changes: dict[str, Any]) -> None:
    assert refused(signed(changes))


@pytest.mark.parametrize("claim", ["sub", "ten", "prj", "reg", "gen", "oat", "iat", "at", "aud"])
def test_nothing_may_be_missing(claim: str) -> None:
    left = {name: value for name, value in claims().items() if name != claim}
    key = token._signing_key(settings.SECRET_KEY)
    assert refused(jwt.encode(left, key, algorithm="HS256"))


def test_whose_clock_is_ahead_has_issued_it_all_the_same() -> None:
    ahead = replace(TOKEN, issued_at=int(time.time()) + 3600)
    assert token.read(token.issue(ahead)) == ahead


def test_the_longest_fits() -> None:
    day_ms = 7 * 24 * 3_600_000
    longest = lane(
        start_ms=day_ms, told_ms=day_ms, processed=16 * day_ms, input_ms=day_ms, billed_ms=day_ms,
        skipped_ms=day_ms,
    )  # fmt: skip
    lanes = tuple(msgspec.structs.replace(longest) for _ in range(8))
    biggest = replace(
        TOKEN, region="r" * 64, stream=str(uuid.uuid4()), generation=1 << 17, mark=mark(999_999_999, *lanes)
    )
    assert len(token.issue(biggest)) < MAX_TOKEN_LENGTH
