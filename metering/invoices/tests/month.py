"""Months that are simulated: a clock that is set, prices, usage at a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from metering.events import UsageEvent
from metering.ledger.accounts import account_of
from metering.ledger.append import NewEntry, append
from metering.ledger.post import post_due
from metering.models import Account, LedgerEntry
from metering.models.ledger import EntryKind
from metering.plans import create_version
from metering.recording import record
from tenants import services
from tenants.limits import Limits
from tenants.models import Plan
from tenants.scope import staff_scope, tenant_scope


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


class Clock:
    """What everything of ours takes for now. PostgreSQL has its own, which is later."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = utc(2024, 1, 1)
        monkeypatch.setattr("django.utils.timezone.now", lambda: self.now)

    def set(self, *parts: int) -> datetime:
        self.now = utc(*parts)
        return self.now


def line(label: str = "Audio", *tiers: tuple[int | None, str], **changes: Any) -> dict[str, Any]:
    steps = [{"up_to_ms": up_to, "per_minute": price} for up_to, price in tiers or [(None, "0.06")]]
    return {"label": label, "tiers": steps, **changes}


def plan(slug: str, currency: str = "USD", lines: Sequence[dict[str, Any]] = (), **changes: Any) -> Plan:
    """With prices from now on."""
    with staff_scope():
        made = services.create_plan(slug.capitalize(), slug, Limits())
    create_version(made, None, currency, lines or [line()], **changes)
    return made


def put_on(household: Any, its: Plan) -> None:
    with staff_scope():
        services.set_plan(household.tenant, its)
        household.tenant.refresh_from_db()


def settle(household: Any, **settings: Any) -> Account:
    account_of(household.tenant.id)
    with tenant_scope(household.tenant.id):
        Account.objects.filter(tenant_id=household.tenant.id).update(**settings)
    return account_of(household.tenant.id)


def use(household: Any, at: datetime, stream: str = "s", ms: int = 60_000, **changes: Any) -> None:
    """Recorded, and posted at the time that the clock shows."""
    record([event(household, at, stream, ms, **changes)])
    post_due(household.tenant.id)


def event(household: Any, at: datetime, stream: str, ms: int = 0, **changes: Any) -> UsageEvent:
    return UsageEvent(
        **{
            "tenant": str(household.tenant.id),
            "project": str(household.project.id),
            "key": str(household.key.id),
            "stream": stream,
            "from_ms": 0,
            "to_ms": ms,
            "model": "general",
            "region": "eu",
            "worker": "w",
            "processed_at": at.isoformat(),
            **changes,
        }
    )


def take_back(household: Any, stream: str, from_ms: int, to_ms: int) -> None:
    entry = NewEntry(
        kind=EntryKind.CORRECTION, reason="Counted twice", stream=stream, from_ms=from_ms, to_ms=to_ms,
        ms=from_ms - to_ms, reference=f"reconcile:{stream}:{from_ms}-{to_ms}",
    )  # fmt: skip
    append(household.tenant.id, [entry])


def give(household: Any, amount: str, reason: str = "Goodwill", reference: str = "") -> None:
    entry = NewEntry(kind=EntryKind.CREDIT, reason=reason, reference=reference, amount=-Decimal(amount))
    append(household.tenant.id, [entry])


def charge(household: Any, amount: str, reason: str = "Set-up") -> None:
    append(
        household.tenant.id,
        [NewEntry(kind=EntryKind.ADJUSTMENT, reason=reason, amount=Decimal(amount))],
    )


def entries(household: Any) -> list[LedgerEntry]:
    with tenant_scope(household.tenant.id):
        return list(LedgerEntry.objects.filter(tenant_id=household.tenant.id).order_by("seq"))
