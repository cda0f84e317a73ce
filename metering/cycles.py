"""Which moment the payment provider is told for a ledger entry. Pure: no Django, no database.

The provider makes one invoice of each UTC month, ours are of months in the customer's time zone, and some
hours lie in one month here and in another there. What decides is the entry's billing period: its moment is
moved into the UTC month of that name, so that the provider's invoice has the same entries as ours.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

# How long after a UTC month usage of it is still sent. The provider's invoices must wait longer before they
# are final (72 h, docs/billing-stripe.md). Ours are final 48 h after a month that ends at most 12 h later.
OPEN_AFTER = timedelta(hours=71)
# The provider takes no event older than 35 days; a day is for what waits to be sent.
OLDEST = timedelta(days=34)
ONE = timedelta(seconds=1)


def hour_of(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def opens(period: date) -> datetime:
    """When the UTC month begins in which the provider bills what we bill in `period`."""
    return datetime(period.year, period.month, 1, tzinfo=UTC)


def closes(period: date) -> datetime:
    return opens(date(period.year + period.month // 12, period.month % 12 + 1, 1))


def is_open(period: date, now: datetime) -> bool:
    return now < closes(period) + OPEN_AFTER


def moment_of(processed_at: datetime, period: date, now: datetime, since: datetime | None = None) -> datetime:
    """What the provider is told. `since`: the customer's subscription began then, and bills nothing before.

    Of a month that is closed, or began too long ago: the earliest moment of the month that is now."""
    if not is_open(period, now):
        period = now.astimezone(UTC).date()
    earliest = max(opens(period), now - OLDEST, *([since] if since else []))
    latest = closes(period) - ONE
    if earliest > latest:  # the subscription began in a later month
        return earliest
    return min(max(processed_at.astimezone(UTC), earliest), latest)


def is_usable(moment: datetime, now: datetime) -> bool:
    """May an event of this moment, not sent yet, still be sent, and end up on an invoice?"""
    return moment >= now - OLDEST and is_open(moment.astimezone(UTC).date(), now)
