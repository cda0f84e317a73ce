"""Meter events of which nobody knows whether they arrived, and that are too old to be said again.

The provider's sum of their hour says. What it has beyond the events that surely arrived are the doubtful
ones that arrived too; those that did not are replaced by events with identifiers of their own. Where the sum
can be read in two ways, or in none, a person has to look: nothing is sent on a guess.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import combinations
from uuid import UUID

from django.db.models import Max, Q, QuerySet, Sum
from django.utils import timezone

from faults.kinds import Kind
from metering import cycles
from metering.models import Account, MeterIntent
from metering.models.outbox import IntentState
from metering.payments import client, retries, summaries
from metering.payments.errors import PaymentsError
from tenants.scope import staff_scope

log = logging.getLogger(__name__)

HOUR = timedelta(hours=1)
MOST = 12  # of doubtful events in an hour; of more there are too many ways to read a sum
UNREADABLE = (
    "Stripe's sum of this hour fits no reading of what was sent: compare by hand, then retry or drop it"
)
NEVER_READ = "Stripe's sum of this hour could not be read for a month: compare by hand, then retry or drop it"
MAY_HAVE_ARRIVED = (UNREADABLE, NEVER_READ)


@dataclass(frozen=True)
class Hour:
    tenant_id: UUID
    customer: str
    meter: str
    starts_at: datetime


def settle_due(*, now: datetime | None = None, limit: int = 200) -> int:
    """Settle what can be; how many intents were."""
    if not client.configured():
        return 0
    now = now or timezone.now()
    settled = _give_up(now)
    for hour in _hours(now)[:limit]:
        try:
            settled += _settle(hour, now)
        except PaymentsError as error:
            log.warning("doubtful meter events of %s are settled later: %s", hour.starts_at, error)
            _later(hour, now)
            if error.kind is Kind.TRANSIENT:
                break  # Stripe is away
    return settled


def arrived(values: Sequence[int], surplus: int) -> tuple[bool, ...] | None:
    """Which of the doubtful values make up what the provider has beyond the sure ones. None: not to be told.
    Equal values stand for each other: that one of two arrived is a reading, whichever it was. Pure."""
    if len(values) > MOST:
        return tuple([surplus != 0] * len(values)) if surplus in (0, sum(values)) else None
    readings = {
        tuple(sorted(values[place] for place in places)): places
        for size in range(len(values) + 1)
        for places in combinations(range(len(values)), size)
        if sum(values[place] for place in places) == surplus
    }
    if len(readings) != 1:
        return None
    (places,) = readings.values()
    return tuple(place in places for place in range(len(values)))


def _give_up(now: datetime) -> int:
    """The provider could not be asked for as long as its sums are of any use."""
    with staff_scope():
        old = MeterIntent.objects.filter(
            state=IntentState.DOUBTFUL.value, first_sent_at__lte=now - cycles.OLDEST
        )
        found = old.update(state=IntentState.DEAD.value, settled_at=now, error=NEVER_READ)
    if found:
        log.error("%d meter events: %s", found, NEVER_READ)
    return found


def _hours(now: datetime) -> list[Hour]:
    with staff_scope():
        cautious = Account.objects.filter(conservative=True).values("tenant_id")
        rows = MeterIntent.objects.filter(state=IntentState.DOUBTFUL.value, next_at__lte=now)
        rows = rows.exclude(tenant_id__in=cautious).order_by("next_at")
        found = rows.values_list("tenant_id", "customer", "meter", "timestamp")
        return list(dict.fromkeys(Hour(t, c, m, cycles.hour_of(moment)) for t, c, m, moment in found))


def _settle(hour: Hour, now: datetime) -> int:
    with staff_scope():
        account = Account.objects.get(tenant_id=hour.tenant_id)
    if _is_unsteady(hour, now):
        return 0
    account.customer = hour.customer  # of then
    total = summaries.totals(account, hour.meter, hour.starts_at, hour.starts_at + HOUR)
    if _is_unsteady(hour, now):  # something was said while we asked
        return 0
    with staff_scope():
        doubtful = list(_of(hour).filter(state=IntentState.DOUBTFUL.value).order_by("id").select_for_update())
        # What is delivered from here on is not in the sum.
        known = _of(hour).filter(state=IntentState.DELIVERED.value, settled_at__lte=now - summaries.LAG)
        sure = known.aggregate(sum=Sum("value"))["sum"] or 0
        reading = arrived([intent.value for intent in doubtful], total - int(sure))
        for place, intent in enumerate(doubtful):
            if reading is None:
                _dead(intent, now, UNREADABLE)
            elif reading[place]:
                intent.state, intent.settled_at, intent.error = IntentState.DELIVERED.value, now, ""
            else:
                replace(intent, now)
            intent.save(update_fields=["state", "settled_at", "error"])
    return len(doubtful)


def _is_unsteady(hour: Hour, now: datetime) -> bool:
    """One more may be in the sum or not: it may be said again, or was delivered or said for the last time so
    lately that the sum may lack it. All that is doubtful of the hour is settled at once, when none is."""
    with staff_scope():
        doubtful = _of(hour).filter(state=IntentState.DOUBTFUL.value)
        last = doubtful.filter(next_at__gt=now).aggregate(at=Max("next_at"))["at"]
        lately = Q(state=IntentState.DELIVERED.value, settled_at__gt=now - summaries.LAG)
        if last is None and not _of(hour).filter(Q(state=IntentState.SENDING.value) | lately).exists():
            return False
        doubtful.filter(next_at__lte=now).update(next_at=last or now + retries.LONGEST_PAUSE)
        return True


def replace(intent: MeterIntent, now: datetime) -> MeterIntent | None:
    """Another intent stands for this one; the caller saves this one. None: that was often enough."""
    if retries.replacements(intent.identifier) >= retries.MAX_REPLACEMENTS:
        _dead(intent, now, "it did not arrive in days of trying: see whether Stripe can be reached")
        return None
    intent.state, intent.settled_at = IntentState.DROPPED.value, now
    return MeterIntent.objects.get_or_create(
        identifier=retries.replacement(intent.identifier), defaults=replaced(intent, now)
    )[0]


def replaced(intent: MeterIntent, now: datetime) -> dict[str, object]:
    return {
        "tenant_id": intent.tenant_id,
        "meter": intent.meter,
        "from_seq": intent.from_seq,
        "to_seq": intent.to_seq,
        "value": intent.value,
        "timestamp": intent.timestamp,  # when it is claimed, it is seen whether it still can be
        "customer": intent.customer,
        "next_at": now,
    }


def _dead(intent: MeterIntent, now: datetime, reason: str) -> None:
    intent.state, intent.settled_at, intent.error = IntentState.DEAD.value, now, reason
    log.error("meter event %s: %s", intent.identifier, reason)


def _of(hour: Hour) -> QuerySet[MeterIntent]:
    return MeterIntent.objects.filter(
        tenant_id=hour.tenant_id, customer=hour.customer, meter=hour.meter,
        timestamp__gte=hour.starts_at, timestamp__lt=hour.starts_at + HOUR,
    )  # fmt: skip


def _later(hour: Hour, now: datetime) -> None:
    with staff_scope():
        _of(hour).filter(state=IntentState.DOUBTFUL.value).update(next_at=now + HOUR)
