"""Where an account stands in the billing period of a moment. Inside the tenant's scope."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db.models import Sum

from metering import periods, plans
from metering.ledger.accounts import account_of
from metering.models import Account, Counter
from metering.periods import Period
from metering.spend import charged_now

ZERO = Decimal(0)


@dataclass(frozen=True)
class Included:
    """What of a price line is free, and how much of that is left in this period."""

    price_id: UUID
    label: str
    included_ms: int
    left_ms: int


@dataclass(frozen=True)
class Standing:
    account: Account
    period: Period
    ms: int
    charged: Decimal
    waived: Decimal
    included: list[Included]


def standing(tenant_id: UUID, now: datetime) -> Standing:
    account = account_of(tenant_id)
    period = periods.period_of(now, account.time_zone)
    counters = Counter.objects.filter(tenant_id=tenant_id, period=period.first_day)
    sums = counters.aggregate(ms=Sum("ms"), waived=Sum("waived"))
    used = dict(counters.values_list("price_id", "ms"))
    version = plans.version_at(tenant_id, now)
    lines = version.lines if version is not None else ()
    included = [
        Included(line.id, line.label, line.included_ms, max(0, line.included_ms - used.get(line.id, 0)))
        for line in lines
        if line.included_ms
    ]
    return Standing(
        account, period, sums["ms"] or 0, charged_now(account, now), sums["waived"] or ZERO, included
    )
