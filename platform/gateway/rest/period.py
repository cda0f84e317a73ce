"""`start` and `end` of a report, as Deepgram's clients write them: a day, or a time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from gateway.errors import BadParameter

USUAL_DAYS = 31
MAX_DAYS = 366
FORMATS = "2026-01-31, 2026-01-31T12:00:00 (UTC) or 2026-01-31T12:00:00+02:00"
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}\Z", re.ASCII)
_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Period:
    """`[start, end)`, in UTC."""

    start: datetime
    end: datetime

    @property
    def first_day(self) -> str:
        return self.start.date().isoformat()

    @property
    def last_day(self) -> str:
        return (self.end - timedelta(microseconds=1)).date().isoformat()


def bounded(start: str | None, end: str | None, *, now: datetime) -> Period:
    """At most `MAX_DAYS`, and `USUAL_DAYS` up to `end` when no `start` is given."""
    until = moment("end", end, last=True) if end else now
    since = moment("start", start) if start else _midnight_before(until)
    if not since < until:
        raise BadParameter("start, end: start must be before end.")
    if until - since > timedelta(days=MAX_DAYS):
        raise BadParameter(f"start, end: allowed are at most {MAX_DAYS} days at a time.")
    return Period(since, until)


def moment(name: str, value: str, *, last: bool = False) -> datetime:
    """`value` in UTC. Of a whole day it is the beginning, or, as the `last` one of a period, the end."""
    try:
        if _DAY.match(value):
            day = datetime.combine(date.fromisoformat(value), time(), UTC)
            return day + _ONE_DAY if last else day
        # A plus that was not encoded has become a space on its way.
        found = datetime.fromisoformat(re.sub(r" (\d{2}:?\d{2})\Z", r"+\1", value))
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadParameter(f"{name}={value[:60]!r}: allowed is a day or a time: {FORMATS}.") from None


def _midnight_before(until: datetime) -> datetime:
    try:
        return datetime.combine((until - timedelta(days=USUAL_DAYS - 1)).date(), time(), UTC)
    except OverflowError:
        raise BadParameter("end: that is too long ago.") from None
