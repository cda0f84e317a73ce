"""Ledger entries at will, and the real client against the local Stripe."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from metering import outbox
from metering.ledger.accounts import account_of
from metering.models import Account, LedgerEntry, MeterIntent
from metering.models.outbox import IntentState
from tenants.scope import tenant_scope

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def enter(
    household: Any,
    ms: int = 60_000,
    amount: str = "0.006000",
    *,
    processed_at: datetime = NOON,
    at: datetime | None = None,
    period: date = date(2026, 11, 1),
    kind: str = "usage",
) -> LedgerEntry:
    tenant_id = household.tenant.id
    account = account_of(tenant_id)
    with tenant_scope(tenant_id):
        Account.objects.filter(id=account.id).update(last_seq=account.last_seq + 1)
        return LedgerEntry.objects.create(
            tenant_id=tenant_id, seq=account.last_seq + 1, kind=kind, at=at or processed_at, period=period,
            processed_at=processed_at, ms=ms, amount=Decimal(amount), currency=account.currency,
            previous_hash=bytes(32), hash=bytes(32),
        )  # fmt: skip


def change(household: Any, **values: Any) -> None:
    account = account_of(household.tenant.id)
    with tenant_scope(household.tenant.id):
        Account.objects.filter(id=account.id).update(**values)


def intents(household: Any) -> list[MeterIntent]:
    with tenant_scope(household.tenant.id):
        return list(MeterIntent.objects.order_by("timestamp", "meter", "id"))


def states(household: Any) -> dict[str, str]:
    return {f"{one.meter} {one.value}": one.state for one in intents(household)}


def expected(household: Any, meter: str, start: datetime, end: datetime) -> int:
    """What the provider is to have of a meter once all intents have arrived. What reconciliation sent stands
    for some of them, and counts no second time."""
    made = [one for one in intents(household) if one.meter == meter and start <= one.timestamp < end]
    return sum(
        one.value
        for one in made
        if not one.identifier.startswith(outbox.RECONCILED)
        and not (one.state == IntentState.DROPPED and one.error != outbox.SENT_OTHERWISE)
    )
