from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadParameter
from gateway.rest.period import Period, bounded, moment

NOW = datetime(2026, 3, 31, 12, 30, tzinfo=UTC)


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("2026-01-31", at(2026, 1, 31)),
        ("2026-01-31T12:00:00", at(2026, 1, 31, 12)),
        ("2026-01-31T12:00:00Z", at(2026, 1, 31, 12)),
        ("2026-01-31T12:00:00+02:00", at(2026, 1, 31, 10)),
        ("2026-01-31T12:00:00 02:00", at(2026, 1, 31, 10)),  # a plus that was not encoded
        ("2026-01-31T12:00:00.5Z", at(2026, 1, 31, 12, 0, 0, 500_000)),
    ],
)
def test_a_moment_in_any_usual_form(value: str, found: datetime) -> None:
    assert moment("start", value) == found


def test_the_last_day_is_a_whole_day_and_a_time_is_not() -> None:
    assert bounded("2026-01-01", "2026-01-31", now=NOW) == Period(at(2026, 1, 1), at(2026, 2, 1))
    found = bounded("2026-01-01", "2026-01-31T10:00:00", now=NOW)
    assert found.end == at(2026, 1, 31, 10)
    assert (found.first_day, found.last_day) == ("2026-01-01", "2026-01-31")


def test_without_a_start_it_is_the_last_31_days() -> None:
    found = bounded(None, None, now=NOW)
    assert found == Period(at(2026, 3, 1), NOW)
    assert (found.first_day, found.last_day) == ("2026-03-01", "2026-03-31")
    assert bounded(None, "2026-01-31", now=NOW).start == at(2026, 1, 2)


@pytest.mark.parametrize(
    ("start", "end", "named"),
    [
        ("yesterday", None, "start="),
        (None, "2026-02-30", "end="),
        ("2026-13-01", None, "start="),
        ("9999-12-31", "9999-12-31", "end="),
        ("0001-01-01T00:00:00+10:00", None, "start="),
        (None, "0001-01-05", "end"),
        ("2026-02-01", "2026-01-01", "start must be before end"),
        ("2024-01-01", "2026-01-01", "366 days"),
        ("2026-04-01", None, "start must be before end"),
        ("\uff12\uff10\uff12\uff16-01-01", None, "start="),  # digits of another script
    ],
)
def test_what_is_no_period_is_refused_by_name(start: str | None, end: str | None, named: str) -> None:
    with pytest.raises(BadParameter, match=named):
        bounded(start, end, now=NOW)


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_text_is_answered_with_anything_else(start: str, end: str) -> None:
    try:
        found = bounded(start, end, now=NOW)
    except BadParameter:
        return
    assert found.start < found.end
