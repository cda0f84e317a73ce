"""Usage and prices for tests of what is charged."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.utils import timezone

from metering.events import UsageEvent
from metering.ledger.accounts import account_of
from metering.ledger.verify import verify
from metering.models import Account, Counter, LedgerEntry, PlanVersion, Price
from metering.models import UsageEvent as Row
from metering.rating import MINUTE_MS
from tenants.scope import staff_scope, tenant_scope

# A thousandth of a dollar a second, a millionth a millisecond.
CENTS = [{"label": "Audio", "tiers": [{"up_to_ms": None, "per_minute": "0.06"}]}]


def usage(household: Any, from_ms: int = 0, to_ms: int = MINUTE_MS, **changes: Any) -> UsageEvent:
    at = changes.pop("at", None)
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
            "tags": ("call",),
            "processed_at": (at or timezone.now()).isoformat(),
            **changes,
        }
    )


def priced(
    household: Any,
    lines: Sequence[dict[str, Any]] = CENTS,
    *,
    since: datetime | None = None,
    number: int = 1,
    currency: str = "USD",
    minimum_ms: int = 0,
) -> PlanVersion:
    """A version of the plan that the tenant is on, as `plans.create_version` makes it, but at any time."""
    with staff_scope():
        version = PlanVersion.objects.create(
            plan=household.tenant.plan, number=number, currency=currency, minimum_ms=minimum_ms,
            effective_from=since or datetime.fromisoformat("2026-01-01T00:00:00+00:00"),
        )  # fmt: skip
        for line in lines:
            Price.objects.create(version=version, **line)
    return version


def entries(household: Any) -> list[LedgerEntry]:
    with tenant_scope(household.tenant.id):
        return list(LedgerEntry.objects.filter(tenant_id=household.tenant.id).order_by("seq"))


def amounts(household: Any) -> list[Decimal]:
    return [entry.amount for entry in entries(household)]


def stored(household: Any) -> list[tuple[str, int, int]]:
    with tenant_scope(household.tenant.id):
        rows = Row.objects.filter(tenant_id=household.tenant.id).order_by("stream", "from_ms")
        return [(row.event_id, row.from_ms, row.to_ms) for row in rows]


def counters(household: Any) -> dict[str, tuple[int, Decimal, Decimal]]:
    """By month: milliseconds, charged and waived of all price lines."""
    with tenant_scope(household.tenant.id):
        found: dict[str, tuple[int, Decimal, Decimal]] = {}
        for row in Counter.objects.filter(tenant_id=household.tenant.id):
            ms, charged, waived = found.get(f"{row.period:%Y-%m}", (0, Decimal(0), Decimal(0)))
            found[f"{row.period:%Y-%m}"] = (ms + row.ms, charged + row.charged, waived + row.waived)
    return found


def account(household: Any) -> Account:
    return account_of(household.tenant.id)


def proved(household: Any) -> bool:
    """`ledger verify` finds nothing."""
    found = [str(finding) for finding in verify(household.tenant.id)]
    assert found == []
    return True
