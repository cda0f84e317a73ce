"""When a subscription's periods turn. UTC; pure."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime, timedelta

MONTHS = {"month": 1, "year": 12}
DAYS = {"day": 1, "week": 7}


def first_turn(start: int, config: dict[str, int | None]) -> int:
    """The first moment after `start` that is on the day and time of `billing_cycle_anchor_config`."""
    at = datetime.fromtimestamp(start, UTC)
    clock = {name: config.get(name) for name in ("hour", "minute", "second")}
    fixed = {name: value for name, value in clock.items() if value is not None}
    day = config["day_of_month"] or 1
    month = at.replace(day=1)
    while True:
        turn = _on_day(month, day).replace(**fixed)  # type: ignore[arg-type]
        if turn > at and config.get("month") in (None, turn.month):
            return int(turn.timestamp())
        month = (month + timedelta(days=32)).replace(day=1)


def later(at: int, anchor: int, interval: str, count: int) -> int:
    """The turn after `at`. A month that lacks the anchor's day has its last day instead."""
    moment = datetime.fromtimestamp(at, UTC)
    if interval in DAYS:
        return int((moment + timedelta(days=DAYS[interval] * count)).timestamp())
    months = moment.year * 12 + moment.month - 1 + MONTHS[interval] * count
    first = moment.replace(day=1, year=months // 12, month=months % 12 + 1)
    return int(_on_day(first, datetime.fromtimestamp(anchor, UTC).day).timestamp())


def _on_day(month: datetime, day: int) -> datetime:
    return month.replace(day=min(day, calendar.monthrange(month.year, month.month)[1]))
