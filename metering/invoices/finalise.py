"""Makes an invoice final: once for each tenant and period, with the next number, in one transaction."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.utils import timezone

from config import env
from metering import periods
from metering.invoices import numbers
from metering.invoices.document import Final
from metering.invoices.errors import (
    EarlierFirst,
    LedgerDisagrees,
    NothingToInvoice,
    PeriodNotOver,
)
from metering.invoices.read import document_of, period_named, tally_of, today
from metering.ledger.accounts import locked_account
from metering.ledger.errors import BillingError
from metering.ledger.post import post_due
from metering.models import Account, Invoice, LedgerEntry
from metering.models.invoices import InvoiceKind
from metering.periods import Period
from tenants.permissions import Permission
from tenants.scope import staff_scope, tenant_scope
from tenants.services.audit import Actor, permit, record, user_of

log = logging.getLogger(__name__)

POST_AT_ONCE = 5000


def finalise(
    tenant_id: UUID,
    first_day: date,
    now: datetime | None = None,
    *,
    force: bool = False,
    actor: Actor = None,
) -> Invoice:
    """The invoice of this period; the one there is, if it is final already. `force`: from the period's end
    on, without the 48 hours for what comes late, which is then in the next invoice."""
    permit(user_of(actor), tenant_id, Permission.OWNERS_WRITE)
    now = now or timezone.now()
    # What has been recorded belongs into it. What comes between this and the lock is charged as late usage.
    while post_due(tenant_id, POST_AT_ONCE) == POST_AT_ONCE:
        pass
    with tenant_scope(tenant_id):
        account = locked_account(tenant_id)
        done = Invoice.objects.filter(
            tenant_id=tenant_id, period=first_day, kind=InvoiceKind.INVOICE.value
        ).first()
        if done is not None:
            return done
        period = period_named(first_day, account.time_zone)
        _check_over(period, now, force=force)
        return _write(account, period, now, actor)


def _check_over(period: Period, now: datetime, *, force: bool) -> None:
    if now < period.ends_at:
        raise PeriodNotOver(
            f"The period ends at {period.ends_at:%Y-%m-%d %H:%M} UTC. A draft shows what there is until now."
        )
    if not force and not periods.frozen(period, now):
        until = period.ends_at + periods.FREEZE_AFTER
        raise PeriodNotOver(
            f"Usage of this period may come until {until:%Y-%m-%d %H:%M} UTC. Wait, look at a draft, or "
            "force it: what comes later is then in the next invoice."
        )


def _write(account: Account, period: Period, now: datetime, actor: Actor) -> Invoice:
    found = tally_of(account, period)
    if not found.all.count:
        raise NothingToInvoice()
    earlier = _next_open(account.tenant_id, _last_final(account.tenant_id))
    if earlier is not None and earlier < period.first_day:
        raise EarlierFirst(
            f"{earlier:%Y-%m} has no invoice yet. Invoices are made in the order of their periods."
        )
    issued_on = today(account, now)
    due_on = issued_on + timedelta(days=env.PAYMENT_TERM_DAYS.read())
    document, problems = document_of(account, period, found, Final(issued_on, due_on))
    if problems:
        said = "; ".join(map(str, problems[:5]))
        raise LedgerDisagrees(f"{LedgerDisagrees()} {said}.")
    # Last of all: everybody else's invoices wait for this row from here on.
    number = document["number"] = numbers.next_number(numbers.INVOICES, issued_on.year)
    invoice = Invoice.objects.create(
        tenant_id=account.tenant_id,
        kind=InvoiceKind.INVOICE.value,
        number=number,
        period=period.first_day,
        starts_at=period.starts_at,
        ends_at=period.ends_at,
        currency=document["currency"],
        ms=document["ms"],
        total=Decimal(document["total"]),
        first_seq=found.first_seq,
        last_seq=found.last_seq,
        document=document,
        final_at=now,
    )
    record(
        actor, account.tenant_id, "invoice.finalised", invoice.id,
        number=number, period=period.first_day.isoformat(), total=document["total"],
        currency=document["currency"],
    )  # fmt: skip
    return invoice


def finalise_due(
    now: datetime | None = None, tell: Callable[[Invoice], object] = lambda invoice: None
) -> list[Invoice]:
    """Of every tenant, every period that is frozen and has no invoice. One tenant's trouble is named in the
    log and keeps no other waiting; the next run tries it again."""
    now = now or timezone.now()
    made: list[Invoice] = []
    with staff_scope():
        accounts = list(Account.objects.values_list("tenant_id", "time_zone").order_by("tenant_id"))
    for tenant_id, time_zone in accounts:
        try:
            for first_day in _due(tenant_id, time_zone, now):
                made.append(finalise(tenant_id, first_day, now))
                tell(made[-1])
        except (BillingError, ValueError) as error:
            code = getattr(error, "code", type(error).__name__)
            log.error("metering.finalise_invoices: tenant %s: %s: %s", tenant_id, code, error)
        except Exception:
            log.exception("metering.finalise_invoices: tenant %s", tenant_id)
    return made


def _due(tenant_id: UUID, time_zone: str, now: datetime) -> list[date]:
    with tenant_scope(tenant_id):
        return list(_open_periods(tenant_id, time_zone, now))


def _open_periods(tenant_id: UUID, time_zone: str, now: datetime) -> Iterator[date]:
    """Those that are frozen. As invoices are made in order, nothing is missing before the last one."""
    found = _next_open(tenant_id, _last_final(tenant_id))
    while found is not None and periods.frozen(periods.of_month(found, time_zone), now):
        yield found
        found = _next_open(tenant_id, found)


def _last_final(tenant_id: UUID) -> date:
    final = Invoice.objects.filter(tenant_id=tenant_id, kind=InvoiceKind.INVOICE.value).order_by("-period")
    return final.values_list("period", flat=True).first() or date.min


def _next_open(tenant_id: UUID, last: date) -> date | None:
    """The next period with entries after `last`: one look into the index."""
    entries = LedgerEntry.objects.filter(tenant_id=tenant_id, period__gt=last).order_by("period", "seq")
    return entries.values_list("period", flat=True).first()
