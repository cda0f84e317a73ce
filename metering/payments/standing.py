"""Whether a customer pays: good, in grace, suspended.

It is not derived from what a webhook says but from what the provider's invoices say when it has come. So it
does not matter in which order webhooks come, how often, or whether one is missing.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.utils import timezone

from config import env
from metering import spend
from metering.ledger.accounts import locked_account
from metering.models import Account
from metering.models.accounts import Standing
from metering.payments import client, locks
from metering.payments.errors import PaymentsError, Permanent
from tenants.scope import staff_scope, tenant_scope
from tenants.services.audit import record

log = logging.getLogger(__name__)

AWAY_AFTER = 3  # questions without an answer


def next_standing(
    standing: Standing, grace_until: datetime | None, owes: bool, now: datetime, grace: timedelta
) -> tuple[Standing, datetime | None]:
    """Pure. Grace is given once for a debt: it is not prolonged by another failed payment."""
    if not owes:
        return Standing.GOOD, None
    if standing is Standing.SUSPENDED:
        return Standing.SUSPENDED, grace_until
    if standing is Standing.GOOD or grace_until is None:
        grace_until = now + grace
    return (Standing.SUSPENDED if grace_until <= now else Standing.GRACE), grace_until


def refresh(account: Account, now: datetime) -> Standing:
    """Ask the provider and act on it, before anybody else asks: an older answer is not to win."""
    with locks.alone(locks.ASKING, account.customer, wait=True):
        return _act(account, _owes(account.customer, now), now)


def _act(account: Account, owes: bool, now: datetime) -> Standing:
    grace = timedelta(days=env.GRACE_DAYS.read())
    with tenant_scope(account.tenant_id):
        account = locked_account(account.tenant_id)
        before = Standing(account.standing)
        after, until = next_standing(before, account.grace_until, owes, now, grace)
        if (after, until) == (before, account.grace_until):
            return after
        account.standing, account.grace_until = after.value, until
        account.save(update_fields=["standing", "grace_until"])
        record(
            None,
            account.tenant_id,
            "billing.standing_changed",
            account.id,
            before=before.value,
            after=after.value,
            grace_until=until.isoformat() if until else None,
        )
        spend.apply(account, now)
    log.warning("tenant %s: its standing was %s and is %s", account.tenant_id, before.value, after.value)
    return after


def refresh_all(now: datetime | None = None) -> int:
    """All that are not in good standing: grace that is over ends, and whoever has paid is let in again even
    if no webhook told us. How many were looked at. Without an answer nobody's standing changes."""
    if not client.configured():
        return 0
    now = now or timezone.now()
    with staff_scope():
        accounts = list(Account.objects.exclude(standing=Standing.GOOD.value).exclude(customer=""))
    looked_at = unanswered = 0
    for account in accounts:
        try:
            refresh(account, now)
            looked_at += 1
        except PaymentsError as error:
            log.warning("tenant %s: its standing stays as it is for now: %s", account.tenant_id, error)
            unanswered += not isinstance(error, Permanent)
            if unanswered >= AWAY_AFTER:
                break  # Stripe is away; the others are asked about in the next run
    return looked_at


def of_customer(customer: str) -> Account | None:
    if not customer:
        return None
    with staff_scope():
        return Account.objects.filter(customer=customer).first()


def _owes(customer: str, now: datetime) -> bool:
    """An invoice that was to be paid and is not: its payment failed, its day is past, or it was given up."""
    invoices = client.connect().v1.invoices
    with client.asking():
        for one in invoices.list({"customer": customer, "status": "open", "limit": 100}).auto_paging_iter():
            overdue = one.due_date is not None and one.due_date < now.timestamp()
            if one.attempt_count > 0 or overdue:
                return True
        given_up = invoices.list({"customer": customer, "status": "uncollectible", "limit": 1})
        return bool(given_up.data)
