from __future__ import annotations

import base64
import contextlib
import json
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadParameter
from gateway.rest import cursor

NOW = datetime(2026, 1, 31, 12, 0, 0, 123457, UTC)


def raw(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@given(st.datetimes(timezones=st.just(UTC)), st.integers(min_value=0, max_value=2**63))
def test_what_a_page_ends_with_is_where_the_next_begins(at: datetime, last: int) -> None:
    assert cursor.decode(cursor.encode("requests", at, last), "requests", int) == (at, last)


def test_an_id_may_be_a_uuid() -> None:
    last = uuid4()
    assert cursor.decode(cursor.encode("keys", NOW, last), "keys", UUID) == (NOW, last)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "%00",
        "ü",
        "a" * 500,
        raw([]),
        raw({}),
        raw(["keys", 1]),
        raw(["keys", 1.5, "7"]),
        raw(["keys", True, "7"]),
        raw(["keys", 10**30, "7"]),
        raw(["keys", 1, 7]),
        raw(["keys", 1, "seven"]),
        raw(["projects", 1, "7"]),
        "W" * 240,
        raw(["keys", 1, "7"]) + "!",
    ],
)
def test_what_is_no_cursor_of_the_list_is_refused_by_name(text: str) -> None:
    with pytest.raises(BadParameter, match="cursor="):
        cursor.decode(text, "keys", int)


@given(st.text(max_size=80))
def test_no_text_is_answered_with_anything_else(text: str) -> None:
    with contextlib.suppress(BadParameter):
        cursor.decode(text, "keys", int)
