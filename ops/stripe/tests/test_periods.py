from datetime import UTC, datetime

import pytest

from ops.stripe import periods


def at(text):
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


FIRST = {"day_of_month": 1, "hour": 0, "minute": 0, "second": 0}


@pytest.mark.parametrize(
    ("start", "config", "turn"),
    [
        ("2026-11-21T22:40", FIRST, "2026-12-01T00:00"),
        ("2026-12-01T00:00", FIRST, "2027-01-01T00:00"),
        ("2028-02-10T00:00", {"day_of_month": 31}, "2028-02-29T00:00"),
        ("2026-11-21T22:40", {"day_of_month": 21}, "2026-12-21T22:40"),
        ("2026-11-21T22:40", {**FIRST, "month": 3}, "2027-03-01T00:00"),
    ],
)
def test_the_first_period_ends_at_the_next_day_of_its_anchor(start, config, turn):
    found = periods.first_turn(at(start), config)
    assert datetime.fromtimestamp(found, UTC).strftime("%Y-%m-%dT%H:%M") == turn


@pytest.mark.parametrize(
    ("now", "anchor", "interval", "count", "turn"),
    [
        ("2026-12-01T00:00", "2026-12-01T00:00", "month", 1, "2027-01-01T00:00"),
        ("2027-01-31T05:00", "2027-01-31T05:00", "month", 1, "2027-02-28T05:00"),
        ("2027-02-28T05:00", "2027-01-31T05:00", "month", 1, "2027-03-31T05:00"),
        ("2028-02-29T00:00", "2028-02-29T00:00", "year", 1, "2029-02-28T00:00"),
        ("2026-12-01T00:00", "2026-12-01T00:00", "week", 2, "2026-12-15T00:00"),
        ("2026-12-31T00:00", "2026-12-31T00:00", "day", 1, "2027-01-01T00:00"),
    ],
)
def test_later_periods_keep_the_anchor_s_day_where_the_month_has_it(now, anchor, interval, count, turn):
    assert periods.later(at(now), at(anchor), interval, count) == at(turn)
