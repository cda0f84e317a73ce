"""Billing periods: the calendar months of a time zone, as instants. Pure.

A period ends where the next begins, so each instant is in exactly one. A month's first instant is the first
midnight of its first day, or, where the clock skips that midnight, the moment after the skip.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

# How long usage that comes late is still charged in the period in which it was processed.
FREEZE_AFTER = timedelta(hours=48)


@dataclass(frozen=True)
class Period:
    first_day: date  # its name
    starts_at: datetime  # UTC; within it
    ends_at: datetime  # UTC; not within it
    time_zone: str = "UTC"


def period_of(instant: datetime, time_zone: str) -> Period:
    """The period that `instant` is in."""
    first = instant.astimezone(ZoneInfo(time_zone)).date().replace(day=1)
    found = of_month(first, time_zone)
    # Where a clock is set back over midnight, for an hour it shows a month that has already ended.
    if instant >= found.ends_at:
        found = next(found)
    return found


@lru_cache(maxsize=4096)
def of_month(first_day: date, time_zone: str) -> Period:
    """The period of the month that begins on `first_day`."""
    first = first_day.replace(day=1)
    following = (first + timedelta(days=32)).replace(day=1)
    return Period(first, _midnight(first, time_zone), _midnight(following, time_zone), time_zone)


def next(period: Period) -> Period:  # read as periods.next
    return of_month((period.first_day + timedelta(days=32)).replace(day=1), period.time_zone)


def previous(period: Period) -> Period:
    return of_month((period.first_day - timedelta(days=1)).replace(day=1), period.time_zone)


def frozen(period: Period, now: datetime) -> bool:
    """Whether nothing more is charged in it."""
    return now >= period.ends_at + FREEZE_AFTER


def _midnight(day: date, time_zone: str) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(time_zone)).astimezone(UTC)
