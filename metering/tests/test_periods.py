from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from metering import periods
from metering.periods import FREEZE_AFTER, frozen, period_of

ZONES = [
    "UTC", "America/New_York", "Europe/Berlin", "Pacific/Apia", "America/St_Johns", "Asia/Kathmandu",
    "Pacific/Kiritimati", "America/Havana", "Australia/Lord_Howe",
]  # fmt: skip
INSTANTS = st.datetimes(datetime(2000, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(INSTANTS, st.sampled_from(ZONES))
# Clocks in Newfoundland were set back at a minute past midnight, over the turn of a month.
@example(datetime(2009, 11, 1, 2, 45, tzinfo=UTC), "America/St_Johns")
@example(datetime(2011, 12, 30, 10, 0, tzinfo=UTC), "Pacific/Apia")  # the day that Samoa left out
def test_every_instant_is_in_exactly_one_period(instant: datetime, zone: str) -> None:
    period = period_of(instant, zone)
    assert period.starts_at <= instant < period.ends_at
    assert period.first_day.day == 1
    assert period_of(period.starts_at, zone) == period
    assert period_of(period.ends_at - timedelta(microseconds=1), zone) == period
    following = periods.next(period)
    assert following == period_of(period.ends_at, zone)
    assert following.starts_at == period.ends_at
    assert periods.previous(following) == period


@pytest.mark.parametrize(
    ("zone", "first_day", "starts_at", "ends_at"),
    [
        ("UTC", date(2028, 2, 1), "2028-02-01T00:00Z", "2028-03-01T00:00Z"),  # with a leap day
        ("UTC", date(2027, 2, 1), "2027-02-01T00:00Z", "2027-03-01T00:00Z"),
        ("UTC", date(2026, 12, 1), "2026-12-01T00:00Z", "2027-01-01T00:00Z"),
        ("America/New_York", date(2026, 3, 1), "2026-03-01T05:00Z", "2026-04-01T04:00Z"),  # an hour short
        ("America/New_York", date(2026, 11, 1), "2026-11-01T04:00Z", "2026-12-01T05:00Z"),  # an hour more
        ("Europe/Berlin", date(2026, 10, 1), "2026-09-30T22:00Z", "2026-10-31T23:00Z"),
        ("Pacific/Apia", date(2011, 12, 1), "2011-12-01T10:00Z", "2011-12-31T10:00Z"),  # thirty days of it
    ],
)
def test_a_month_is_that_of_the_time_zone(zone: str, first_day: date, starts_at: str, ends_at: str) -> None:
    period = periods.of_month(first_day, zone)
    assert period.starts_at == datetime.fromisoformat(starts_at)
    assert period.ends_at == datetime.fromisoformat(ends_at)


def test_the_last_moment_of_a_month_is_in_it_and_the_next_is_not() -> None:
    last = datetime(2026, 10, 31, 23, 59, 59, 999999, tzinfo=ZoneInfo("Europe/Berlin"))
    assert period_of(last, "Europe/Berlin").first_day == date(2026, 10, 1)
    assert period_of(last + timedelta(microseconds=1), "Europe/Berlin").first_day == date(2026, 11, 1)
    assert period_of(last, "UTC").first_day == date(2026, 10, 1)
    assert period_of(last, "Pacific/Apia").first_day == date(2026, 11, 1)


def test_a_month_that_begins_in_a_skipped_hour_begins_after_it() -> None:
    # In Havana, midnight of 1 April 1990 was skipped: 00:00 became 01:00.
    starts = periods.of_month(date(1990, 4, 1), "America/Havana").starts_at
    assert starts.astimezone(ZoneInfo("America/Havana")).hour == 1
    assert (starts - timedelta(microseconds=1)).astimezone(ZoneInfo("America/Havana")).month == 3


def test_a_period_is_frozen_two_days_after_its_end() -> None:
    period = period_of(datetime(2026, 10, 5, tzinfo=UTC), "UTC")
    assert not frozen(period, period.ends_at + FREEZE_AFTER - timedelta(microseconds=1))
    assert frozen(period, period.ends_at + FREEZE_AFTER)
    assert timedelta(hours=48) == FREEZE_AFTER
