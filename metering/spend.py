"""Caps, prepaid credit and standing: whether a tenant's audio is taken. `state` decides, `apply` tells.

Caps themselves are exact because the ledger holds to them while it has the account's lock (`ledger.book`).
The hold set here only stops the audio, as soon as everybody has heard of it.
"""

from __future__ import annotations

import logging
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from django.db import connection
from django.utils import timezone

from metering import notices, periods
from metering.models import Account, Counter
from metering.models.accounts import Mode, Standing
from tenants import services
from tenants.access import Hold
from tenants.models import Tenant
from tenants.scope import staff_scope, tenant_scope
from tenants.services.audit import record

log = logging.getLogger(__name__)

REASONS = {
    Hold.NONE: "audio is taken again",
    Hold.SPEND_CAP: "the hard cap of this billing period is reached",
    Hold.PREPAID: "the prepaid balance is used up",
    Hold.PAYMENT: "a payment has failed and its grace period is over",
}


def state(account: Account, now: datetime) -> Hold:
    """Whether audio is taken, and if not, why. Pure. The gravest reason counts."""
    if account.standing == Standing.SUSPENDED:
        return Hold.PAYMENT
    if account.standing == Standing.GRACE and account.grace_until is not None and account.grace_until <= now:
        return Hold.PAYMENT
    if account.mode == Mode.PREPAID and account.balance <= 0:
        return Hold.PREPAID
    if account.hard_cap is not None and charged_now(account, now) >= account.hard_cap:
        return Hold.SPEND_CAP
    return Hold.NONE


def charged_now(account: Account, now: datetime) -> Decimal:
    """What the billing period of `now` has cost so far. Pure. `account.period` is later than that of `now`
    where the invoice of this one is out already."""
    current = periods.period_of(now, account.time_zone).first_day
    return account.charged if account.period is not None and account.period >= current else Decimal(0)


def apply(account: Account, now: datetime | None = None) -> None:
    """Put the tenant on hold, or off, as `state` says, and tell of the soft cap. To be called in the tenant's
    scope with the account's lock held, after whatever has changed it."""
    now = now or timezone.now()
    turn(account, now)
    tenant = Tenant.objects.get(id=account.tenant_id)
    hold = state(account, now)
    if tenant.hold != hold:
        services.set_hold(tenant, hold, reason=REASONS[hold])
        if hold != Hold.NONE:
            notices.tell(account, tenant, "hold", f"Audio is no longer taken: {REASONS[hold]}")
    _soft_cap(account, tenant)


def turn(account: Account, now: datetime) -> None:
    """Begin a new billing period where one has begun."""
    current = periods.period_of(now, account.time_zone).first_day
    if account.period is not None and account.period >= current:
        return
    account.period = current
    account.charged = charged_in(account, account.period)
    account.save(update_fields=["period", "charged"])


_DUE = """
SELECT a.tenant_id FROM metering_account a JOIN tenants_tenant t ON t.id = a.tenant_id
WHERE a.tenant_id > %(after)s AND (
    a.period < date_trunc('month', %(now)s AT TIME ZONE a.time_zone)::date
    OR (a.standing = 'grace' AND a.grace_until <= %(now)s AND t.hold <> 'payment'))
ORDER BY a.tenant_id LIMIT %(limit)s
"""


def turn_due(now: datetime | None = None, at_once: int = 1000) -> int:
    """Apply what time alone has changed: periods that have begun, and grace that is over."""
    now = now or timezone.now()
    found, after = 0, UUID(int=0)
    while due := _due(now, after, at_once):
        for tenant_id in due:
            try:
                _turn_one(tenant_id, now)
            except Exception:
                # One tenant's trouble holds up no other's turn.
                log.exception("metering.turn_period: tenant %s", tenant_id)
        found, after = found + len(due), due[-1]
    return found


def _due(now: datetime, after: UUID, limit: int) -> list[UUID]:
    with staff_scope(), connection.cursor() as cursor:
        cursor.execute(_DUE, {"now": now, "after": after, "limit": limit})
        return [row[0] for row in cursor.fetchall()]


def _turn_one(tenant_id: UUID, now: datetime) -> None:
    with tenant_scope(tenant_id):
        account = (
            Account.objects.select_for_update(of=("self",), no_key=True, skip_locked=True)
            .filter(tenant_id=tenant_id)
            .first()
        )
        if account is not None:  # whoever holds it applies it too
            apply(account, now)


def charged_in(account: Account, period: date) -> Decimal:
    counters = Counter.objects.filter(tenant_id=account.tenant_id, period=period)
    return sum(counters.values_list("charged", flat=True), Decimal(0))


def _soft_cap(account: Account, tenant: Tenant) -> None:
    if account.soft_cap is None or account.charged < account.soft_cap or account.period is None:
        return
    if account.soft_cap_told == account.period:
        return
    account.soft_cap_told = account.period
    account.save(update_fields=["soft_cap_told"])
    record(
        None, account.tenant_id, "account.soft_cap_reached", account.id,
        period=account.period.isoformat(), soft_cap=str(account.soft_cap), charged=str(account.charged),
    )  # fmt: skip
    notices.tell(
        account,
        tenant,
        "soft cap",
        f"{account.charged:.2f} {account.currency} were charged since {account.period}, "
        f"which is past the soft cap of {account.soft_cap:.2f}. Nothing is stopped by it.",
    )
