"""Usage into the ledger, on a real PostgreSQL, with two tenants in it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.utils import timezone

from metering.events import UsageEvent
from metering.ledger.accounts import account_of
from metering.ledger.post import post_due
from metering.models import LedgerEntry
from metering.plans import create_version
from metering.recording import record
from tenants.scope import tenant_scope


def event(household: Any, from_ms: int = 0, to_ms: int = 5000, **changes: Any) -> UsageEvent:
    return UsageEvent(
        **{
            "tenant": str(household.tenant.id),
            "project": str(household.project.id),
            "key": str(household.key.id),
            "stream": "s",
            "from_ms": from_ms,
            "to_ms": to_ms,
            "model": "m",
            "region": "local",
            "worker": "w",
            "tags": ("call", 'a "b" \\ ,{}'),
            "processed_at": timezone.now().isoformat(),
            **changes,
        }
    )


def entries(household: Any) -> list[LedgerEntry]:
    with tenant_scope(household.tenant.id):
        return list(LedgerEntry.objects.filter(tenant_id=household.tenant.id).order_by("seq"))


LINES = [{"label": "Audio", "tiers": [{"up_to_ms": None, "per_minute": "0.06"}]}]


def test_what_touches_becomes_one_entry_and_is_charged_once(acme: Any, rival: Any) -> None:
    create_version(acme.tenant.plan, None, "USD", LINES)
    now = timezone.now().isoformat()
    record(
        [
            event(acme, 0, 5000, processed_at=now),
            event(acme, 5000, 7000, processed_at=now),
            event(rival, 0, 60_000),
        ]
    )
    assert post_due() == 3
    assert post_due() == 0
    (entry,) = entries(acme)
    assert (entry.from_ms, entry.to_ms, entry.ms, entry.amount) == (0, 7000, 7000, Decimal("0.007000"))
    assert entry.tags == ["call", 'a "b" \\ ,{}']
    assert [one.amount for one in entries(rival)] == [Decimal("0.06")]
    assert account_of(acme.tenant.id).balance == Decimal("-0.007000")
