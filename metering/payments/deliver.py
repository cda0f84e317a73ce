"""Meter events on their way to the provider.

An intent is claimed, and the claim committed, before the call: a process that dies in between leaves SENDING
behind, which another says again with the same identifier once the lease is over. One call at a time for each
customer and meter, whoever else is at work: an advisory lock of PostgreSQL, which dies with its holder.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone

from metering import cycles
from metering.models import Account, MeterIntent
from metering.models.outbox import IntentState
from metering.payments import bucket, client, locks, names, retries
from metering.payments.errors import Ambiguous, Duplicate, PaymentsError, Permanent, RateLimited, Transient
from metering.payments.summaries import LAG
from tenants.scope import staff_scope

log = logging.getLogger(__name__)

RUN_FOR_S = 45.0
SENDABLE = [IntentState.PENDING.value, IntentState.SENDING.value]


@dataclass(frozen=True)
class Pair:
    tenant_id: UUID
    customer: str
    meter: str


def deliver_due(
    limit: int = 1000, *, now: datetime | None = None, clock: Callable[[], float] = time.monotonic
) -> int:
    """Send what is due; how many were delivered. `now` stands still for the whole run if it is given."""
    if not client.configured():
        return 0
    until, delivered, tried = clock() + RUN_FOR_S, 0, 0
    _doubt(now or timezone.now())
    for pair in _pairs(now or timezone.now()):
        with locks.alone(locks.SPEAKING, f"{pair.customer} {pair.meter}") as mine:
            # While nothing answers nothing is claimed, and so nothing counts as said that was not.
            while mine and tried < limit and clock() < until and not client.is_resting():
                intent = _claimed(pair, now or timezone.now())
                if intent is None:
                    break
                tried += 1
                outcome = _send(intent, now)
                delivered += outcome is IntentState.DELIVERED
                if outcome is IntentState.SENDING:
                    break  # away, or too much: the others of this customer would fare no better
        if tried >= limit or clock() >= until or client.is_resting():
            break
    return delivered


def _due(now: datetime) -> QuerySet[MeterIntent]:
    cautious = Account.objects.filter(conservative=True).values("tenant_id")
    return MeterIntent.objects.filter(state__in=SENDABLE, next_at__lte=now).exclude(tenant_id__in=cautious)


def _doubt(now: datetime) -> None:
    """Nothing is said again with an identifier that the provider may have forgotten."""
    with staff_scope():
        old = _due(now).filter(first_sent_at__lte=now - retries.SAME_FOR)
        found = old.update(state=IntentState.DOUBTFUL.value, next_at=now + LAG)
    if found:
        log.warning("%d meter events are too old to be said again: their hours are to be compared", found)


def _pairs(now: datetime) -> list[Pair]:
    with staff_scope():
        rows = _due(now).order_by("tenant_id", "customer", "meter")
        return [Pair(*row) for row in rows.values_list("tenant_id", "customer", "meter").distinct()]


def _claimed(pair: Pair, now: datetime) -> MeterIntent | None:
    """The next intent, taken: nobody else sends it before the lease is over."""
    with staff_scope():
        due = _due(now).filter(tenant_id=pair.tenant_id, customer=pair.customer, meter=pair.meter)
        # It may have become due after `_doubt`: somebody ended the conservative mode of its account.
        due = due.exclude(first_sent_at__lte=now - retries.SAME_FOR)
        intent = due.order_by("next_at", "id").select_for_update(skip_locked=True, of=("self",)).first()
        if intent is None:
            return None
        if intent.first_sent_at is None:
            intent.first_sent_at = now
            if not cycles.is_usable(intent.timestamp, now):
                # It waited so long that no invoice would have it: it goes to the earliest that does.
                intent.timestamp = max(cycles.opens(now.date()), intent.timestamp)
        intent.state = IntentState.SENDING.value
        intent.attempts += 1
        intent.next_at = now + retries.LEASE
        intent.save(update_fields=["first_sent_at", "timestamp", "state", "attempts", "next_at"])
        return intent


def _send(intent: MeterIntent, now: datetime | None) -> IntentState:
    try:
        send(intent)
    except Duplicate:
        return _settled(intent, IntentState.DELIVERED, now or timezone.now())
    except Permanent as error:
        return _refused(intent, error, now or timezone.now())
    except (Transient, Ambiguous) as error:
        return _again(intent, error, now or timezone.now())
    return _settled(intent, IntentState.DELIVERED, now or timezone.now())


def send(intent: MeterIntent) -> None:
    """Say it. An idempotency key would have a 500 repeated to us for a day, so each attempt has its own: the
    event's identifier is what makes it count once."""
    turns().take()
    currency = _currency(intent.tenant_id)
    with client.asking():
        client.connect().v1.billing.meter_events.create(
            {
                "event_name": names.event_name(intent.meter, currency),
                "payload": {"stripe_customer_id": intent.customer, "value": str(intent.value)},
                "identifier": intent.identifier,
                "timestamp": int(intent.timestamp.timestamp()),
            },
            {"idempotency_key": f"{intent.identifier}:{intent.attempts}", "max_network_retries": 0},
        )


@lru_cache(maxsize=1)
def turns() -> bucket.Bucket:
    return bucket.Bucket(bucket.LIVE_RATE if client.is_live() else bucket.SANDBOX_RATE)


def _again(intent: MeterIntent, error: PaymentsError, now: datetime) -> IntentState:
    retry_after = error.retry_after if isinstance(error, Transient) else 0.0
    if isinstance(error, RateLimited):
        turns().pause(min(max(retry_after, 1.0), 10.0))
    log.warning("meter event %s is said again later: %s", intent.identifier, error)
    _noted(intent, next_at=now + retries.pause(intent.attempts, retry_after), error=str(error)[:300])
    return IntentState.SENDING


def _refused(intent: MeterIntent, error: Permanent, now: datetime) -> IntentState:
    """What was said before may have arrived, before a meter was archived, say: its hour's sum tells. If it
    has not, what stands for it is refused too, and dies of that."""
    if intent.attempts > 1:
        log.warning("meter event %s is refused now, and may have arrived: %s", intent.identifier, error)
        _noted(intent, state=IntentState.DOUBTFUL.value, next_at=now + LAG, error=str(error)[:300])
        return IntentState.DOUBTFUL
    log.error("meter event %s will not be taken: %s", intent.identifier, error)
    return _settled(intent, IntentState.DEAD, now, str(error))


def _settled(intent: MeterIntent, state: IntentState, now: datetime, error: str = "") -> IntentState:
    _noted(intent, state=state.value, settled_at=now, error=error[:300])
    return state


def _noted(intent: MeterIntent, **values: object) -> None:
    """Of an intent that is as it was claimed. Meanwhile a webhook may have said that it was rejected, or
    another has claimed it, if this process stood still for longer than the lease: then theirs holds."""
    with staff_scope():
        claimed = MeterIntent.objects.filter(
            id=intent.id, state=IntentState.SENDING.value, attempts=intent.attempts
        )
        claimed.update(**values)


def _currency(tenant_id: UUID) -> str:
    with staff_scope():
        return Account.objects.values_list("currency", flat=True).get(tenant_id=tenant_id)
