"""What the provider says it has. It takes a while until an event is in: who compares has to wait for that."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from metering.models import Account
from metering.payments import client, names, sync
from metering.payments.errors import NoCustomer, Permanent

# Summaries may lag behind what was taken. An event that was taken longer ago than this is in them.
LAG = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


def totals(account: Account, meter: str, start: datetime, end: datetime) -> int:
    """The sum of a meter for [start, end), which are whole minutes."""
    if not account.customer:
        raise NoCustomer()
    meter_id = meter_id_of(meter, account.currency)
    with client.asking():
        found = client.connect().v1.billing.meters.event_summaries.list(
            meter_id,
            {
                "customer": account.customer,
                "start_time": _aligned(start),
                "end_time": _aligned(end),
                "limit": 100,
            },
        )
        # Without a grouping it is one summary, or none where there was no event.
        values = [one.aggregated_value for one in found.auto_paging_iter()]
    return sum(whole(value) for value in values)


def whole(value: float) -> int:
    """The provider's sums come as a number with a point; ours are of whole values."""
    if value != int(value) or abs(value) >= 2**53:
        raise Permanent("Stripe's sum of a meter is no whole number that can be told exactly")
    return int(value)


def meter_id_of(meter: str, currency: str) -> str:
    found = sync.known(names.meter_name(meter, currency))
    if not found:
        sync.Sync().catalogue(currency)
        found = sync.known(names.meter_name(meter, currency))
    return str(found)


def _aligned(moment: datetime) -> int:
    at = moment.astimezone(UTC)
    if at.second or at.microsecond:
        raise ValueError(f"{at} is no whole minute, and Stripe's summaries are of whole minutes")
    return int(at.timestamp())
