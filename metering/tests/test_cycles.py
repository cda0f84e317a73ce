"""Which moment the provider is told: pure."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering import cycles

# Without a zone, as hypothesis wants them.
FIRST, LAST = datetime(2024, 1, 1), datetime(2027, 12, 31)  # noqa: DTZ001
NOVEMBER = date(2026, 11, 1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("processed", "period", "now", "told"),
    [
        ("2026-11-20T12:34:56", NOVEMBER, "2026-11-20T13:00", "2026-11-20T12:34:56"),
        # Tokyo's November began in October of UTC, California's ends in December.
        ("2026-10-31T15:00:01", NOVEMBER, "2026-10-31T16:00", "2026-11-01T00:00:00"),
        ("2026-12-01T07:59:59", NOVEMBER, "2026-12-01T09:00", "2026-11-30T23:59:59"),
        # Still open 71 hours after the month; then it goes to the month that is.
        ("2026-11-30T12:00:00", NOVEMBER, "2026-12-03T22:59", "2026-11-30T12:00:00"),
        ("2026-11-30T12:00:00", NOVEMBER, "2026-12-03T23:00", "2026-12-01T00:00:00"),
        # A year turns, and usage of a frozen month is charged in the one that follows it.
        ("2026-12-31T23:59:59", date(2026, 12, 1), "2027-01-01T01:00", "2026-12-31T23:59:59"),
        ("2026-10-02T12:00:00", NOVEMBER, "2026-11-20T12:00", "2026-11-01T00:00:00"),
        ("2024-02-29T23:30:00", date(2024, 2, 1), "2024-03-01T00:30", "2024-02-29T23:30:00"),
    ],
)
def test_the_moment_lies_in_the_month_of_the_period(processed, period, now, told):
    assert cycles.moment_of(at(processed), period, at(now)) == at(told)


def test_nothing_is_told_of_before_the_subscription():
    since = at("2026-11-10T08:00")
    assert cycles.moment_of(at("2026-11-02T12:00"), NOVEMBER, at("2026-11-20T00:00"), since) == since
    assert cycles.moment_of(at("2026-11-12T12:00"), NOVEMBER, at("2026-11-20T00:00"), since) == at(
        "2026-11-12T12:00"
    )


def test_a_subscription_of_a_later_month_takes_what_is_older_at_its_beginning():
    since = at("2026-12-02T08:00")
    assert cycles.moment_of(at("2026-11-30T12:00"), NOVEMBER, at("2026-12-02T09:00"), since) == since


@given(
    st.datetimes(FIRST, LAST),
    st.dates(date(2024, 1, 1), date(2027, 12, 31)),
    st.datetimes(FIRST, LAST),
)
def test_whatever_comes_is_told_of_a_moment_that_the_provider_takes(processed, period, now):
    now = now.replace(tzinfo=UTC)
    told = cycles.moment_of(processed.replace(tzinfo=UTC), period.replace(day=1), now)
    assert told >= now - timedelta(days=35)
    assert cycles.is_usable(told, max(now, told))


def test_what_waited_too_long_is_not_usable():
    assert cycles.is_usable(at("2026-11-30T12:00"), at("2026-12-03T22:00"))
    assert not cycles.is_usable(at("2026-11-30T12:00"), at("2026-12-03T23:00"))
    assert not cycles.is_usable(at("2026-10-15T12:00"), at("2026-11-20T12:00"))
