"""Ledger, intents, the provider's sums and invoices of a tenant side by side."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.db.models import Max, Min, Q, QuerySet, Sum

from faults.pauses import pause_s
from metering import outbox
from metering.invoices.money import coins
from metering.models import Account, Invoice, LedgerEntry, MeterIntent
from metering.models.invoices import InvoiceKind
from metering.models.outbox import METERS, IntentState
from metering.models.reconciliation import Action, DifferenceKind
from metering.payments import summaries
from metering.payments.errors import Ambiguous, PaymentsError, Permanent, RateLimited
from metering.reconcile.apply import Found
from metering.reconcile.load import bounds
from tenants.scope import staff_scope, tenant_scope

# The provider takes nothing older than 35 days.
CAN_BE_SENT_FOR = timedelta(days=34)
ASKED_AGAIN, LONGEST_PAUSE_S = 4, 8.0
AWAY_AFTER = 3  # questions in a row without an answer
OURS = "reconcile-"  # how the identifiers of what we send begin
# Entries of an hour are written down to be sent within a minute after it.
WRITTEN_WITHIN = timedelta(hours=2)


@dataclass(frozen=True)
class Meter:
    """A meter of a tenant and a day."""

    intended: int  # by the intents that were made of the ledger
    has: int  # the provider
    unsettled: int  # intents of which it is not known whether they have arrived
    just_told: bool  # so lately that the provider's sums may not show it yet
    sent_before: bool  # the difference was sent once for this very total
    old: bool
    conservative: bool
    dry_run: bool


def decide(meter: Meter) -> tuple[DifferenceKind, Action, str] | None:
    """Pure."""
    if meter.has == meter.intended:
        return None
    if meter.has > meter.intended:
        return DifferenceKind.AHEAD, Action.RAISED, "the provider has more than the ledger"
    kind = DifferenceKind.UNSENT
    if meter.unsettled:
        return kind, Action.WAITING, f"{meter.unsettled} intents are on their way"
    if meter.just_told:
        return kind, Action.WAITING, "the provider's sums may not show yet what it was told last"
    if meter.sent_before:
        return kind, Action.RAISED, "the difference was sent, and the provider has less all the same"
    if meter.old:
        return kind, Action.RAISED, "too old: the provider takes nothing of before 35 days"
    if meter.conservative or meter.dry_run:
        return kind, Action.NONE, "would be sent"
    return kind, Action.SENT, ""


class Provider:
    """Asked for its sums, for as long as it answers: with many customers, and each question as long as an
    answer may take, nobody else's turn would come for hours."""

    def __init__(self) -> None:
        self._unanswered = 0  # in a row

    def total(self, account: Account, meter: str, start: datetime, end: datetime) -> int:
        if self._unanswered >= AWAY_AFTER:
            raise Ambiguous("it has not answered about others, and was not asked any more")
        try:
            found = _totals(account, meter, start, end)
        except PaymentsError as error:
            self._unanswered = 0 if isinstance(error, Permanent) else self._unanswered + 1
            raise
        self._unanswered = 0
        return found


def compare(
    account: Account, day: date, now: datetime, *, dry_run: bool, provider: Provider | None = None
) -> list[Found]:
    """All that differs in money of one tenant and day; what the provider lacks is written down to be sent."""
    found = []
    provider = provider or Provider()
    if account.customer:
        for meter in METERS:
            found += [
                *_unwritten(account, meter, day, now, dry_run),
                *_intents(account, meter, day),
                *_provider(provider, account, meter, day, now, dry_run),
            ]
    return [*found, *_invoices(account, day)]


def accounts(day: date, whose: list[UUID] | None) -> Iterator[Account]:
    """Those who have something of that day to compare, one after the other."""
    start, end = bounds(day)
    with staff_scope():
        named = Q() if whose is None else Q(tenant_id__in=whose)
        touched = set(
            MeterIntent.objects.filter(named)
            .filter(Q(timestamp__gte=start, timestamp__lt=end) | Q(created_at__gte=start, created_at__lt=end))
            .order_by().values_list("tenant_id", flat=True).distinct()
        ) | set(
            _invoices_of(day).filter(named).order_by().values_list("tenant_id", flat=True).distinct()
        )  # fmt: skip
        # A customer of whom we have no intent may have sums all the same: those are ahead.
        found = list(
            Account.objects.filter(named)
            .filter(Q(tenant_id__in=touched) | ~Q(customer=""))
            .order_by("tenant_id")
        )
    yield from found


def _provider(
    provider: Provider, account: Account, meter: str, day: date, now: datetime, dry_run: bool
) -> list[Found]:
    start, end = bounds(day)
    try:
        has = provider.total(account, meter, start, end)
    except PaymentsError as error:
        return [
            Found(
                account.tenant_id, DifferenceKind.UNSENT, Action.WAITING, meter=meter,
                detail=f"the provider could not be asked: {error}", unasked=True,
            )
        ]  # fmt: skip
    # After that: what is made and sent meanwhile is waited for, and not taken for too much.
    intended = _intended(account, meter, day)
    identifier = f"{_named(account, meter, day)}{intended}"
    with tenant_scope(account.tenant_id):
        of_day = MeterIntent.objects.filter(
            tenant_id=account.tenant_id, meter=meter, timestamp__gte=start, timestamp__lt=end
        )
        told = of_day.aggregate(at=Max("settled_at"))["at"]
        first = of_day.exclude(identifier__startswith=OURS).aggregate(at=Min("timestamp"))["at"]
        seen = Meter(
            intended, has, outbox.unsettled(account.tenant_id, meter, start, end),
            just_told=told is not None and now - told < summaries.LAG,
            sent_before=MeterIntent.objects.filter(identifier=identifier).exists(),
            old=now - start > CAN_BE_SENT_FOR,
            conservative=account.conservative, dry_run=dry_run,
        )  # fmt: skip
        decision = decide(seen)
        if decision is None:
            return []
        kind, action, detail = decision
        if action is Action.SENT:
            MeterIntent.objects.get_or_create(
                identifier=identifier,
                defaults={
                    "tenant_id": account.tenant_id, "meter": meter, "from_seq": 0, "to_seq": 0,
                    "value": intended - has, "timestamp": first or start, "customer": account.customer,
                    "next_at": now,
                },
            )  # fmt: skip
    return [Found(account.tenant_id, kind, action, meter=meter, value=abs(intended - has), detail=detail)]


def _totals(account: Account, meter: str, start: datetime, end: datetime) -> int:
    """The provider takes so many questions a second: with many customers it says no, and is asked again."""
    for tries in range(1, 1 + ASKED_AGAIN):
        try:
            return summaries.totals(account, meter, start, end)
        except RateLimited as error:
            pause = pause_s(tries, first_s=1, longest_s=LONGEST_PAUSE_S)
            time.sleep(max(pause, min(error.retry_after, LONGEST_PAUSE_S)))
    return summaries.totals(account, meter, start, end)


def _named(account: Account, meter: str, day: date) -> str:
    """How the identifiers begin of what is sent for that day."""
    return f"{OURS}{account.tenant_id.hex}-{meter}-{day:%Y%m%d}-"


def _intended(account: Account, meter: str, day: date) -> int:
    """By what was made of the ledger for the customer of now: what another one was told is not said again.
    What reconciliation itself has sent stands for some of that, and counts only where it went to another
    day, because the month of its own was closed."""
    start, end = bounds(day)
    here = Q(timestamp__gte=start, timestamp__lt=end)
    ours, of_this = Q(identifier__startswith=OURS), Q(identifier__startswith=_named(account, meter, day))
    with tenant_scope(account.tenant_id):
        intents = MeterIntent.objects.filter(
            tenant_id=account.tenant_id, customer=account.customer, meter=meter
        ).exclude(outbox.GONE)
        sent = intents.filter(ours).exclude(state=IntentState.DEAD.value)
        return (
            _sum(intents.filter(here).exclude(ours))
            + _sum(sent.filter(here).exclude(of_this))
            - _sum(sent.filter(of_this).exclude(here))
        )


def _sum(intents: QuerySet[MeterIntent]) -> int:
    return int(intents.aggregate(sum=Sum("value"))["sum"] or 0)


def _unwritten(account: Account, meter: str, day: date, now: datetime, dry_run: bool) -> list[Found]:
    """Entries whose hour has long been over, and of which no intent was made. The provider's sums are
    compared with intents, so nobody else would miss these."""
    start, end = bounds(day)
    with tenant_scope(account.tenant_id):
        account.refresh_from_db(fields=["outbox_seq", "last_seq", "conservative"])
        entries = outbox.charged(account, account.outbox_seq + 1, account.last_seq).filter(
            processed_at__gte=start, processed_at__lt=end, at__lt=now - WRITTEN_WITHIN
        )
        value = _of_entries(entries, meter)
    if not value:
        return []
    action, detail = Action.WAITING, "not written down yet to be sent: does Celery run?"
    if account.conservative or dry_run:
        action, detail = Action.NONE, "would be sent"
    return [
        Found(
            account.tenant_id, DifferenceKind.UNSENT, action, stream="ledger", meter=meter, value=abs(value),
            detail=detail,
        )
    ]  # fmt: skip


def _of_entries(entries: QuerySet[LedgerEntry], meter: str) -> int:
    sums = entries.aggregate(ms=Sum("ms"), amount=Sum("amount"))
    return int(sums["ms"] or 0) if meter == outbox.MS else outbox.millionths(Decimal(sums["amount"] or 0))


def _intents(account: Account, meter: str, day: date) -> list[Found]:
    """Whether the intents that were made that day say what the entries say that they were made of."""
    start, end = bounds(day)
    with tenant_scope(account.tenant_id):
        ours = MeterIntent.objects.filter(tenant_id=account.tenant_id, meter=meter).exclude(
            identifier__startswith=OURS
        )
        reach = ours.filter(created_at__gte=start, created_at__lt=end).aggregate(
            low=Min("from_seq"), high=Max("to_seq")
        )
        if reach["low"] is None:
            return []
        made = ours.filter(from_seq__gte=reach["low"], to_seq__lte=reach["high"])
        made = made.exclude(outbox.GONE)
        told = int(made.aggregate(sum=Sum("value"))["sum"] or 0)
        ledger = _of_entries(outbox.charged(account, reach["low"], reach["high"]), meter)
    if ledger == told:
        return []
    kind = DifferenceKind.UNSENT if ledger > told else DifferenceKind.AHEAD
    detail = f"entries {reach['low']} to {reach['high']} are {ledger}, and their intents {told}"
    return [
        Found(
            account.tenant_id, kind, Action.RAISED, stream="intents", meter=meter,
            value=abs(ledger - told), detail=detail,
        )
    ]  # fmt: skip


def _invoices_of(day: date) -> QuerySet[Invoice]:
    start, end = bounds(day)
    return Invoice.objects.filter(kind=InvoiceKind.INVOICE.value).filter(
        Q(starts_at__lt=end, ends_at__gt=start) | Q(final_at__gte=start, final_at__lt=end)
    )


def _invoices(account: Account, day: date) -> list[Found]:
    found = []
    with tenant_scope(account.tenant_id):
        for invoice in _invoices_of(day).filter(tenant_id=account.tenant_id):
            its = LedgerEntry.objects.filter(
                tenant_id=account.tenant_id, period=invoice.period,
                seq__range=(invoice.first_seq, invoice.last_seq), kind__in=outbox.CHARGED,
            ).aggregate(ms=Sum("ms"), amount=Sum("amount"))  # fmt: skip
            ms, amount = int(its["ms"] or 0), coins(Decimal(its["amount"] or 0), invoice.currency)
            if (ms, amount) != (invoice.ms, invoice.total):
                detail = (
                    f"{invoice.number} says {invoice.ms} ms and {invoice.total} {invoice.currency}, "
                    f"the ledger {ms} ms and {amount}"
                )
                found.append(
                    Found(
                        account.tenant_id, DifferenceKind.INVOICE, Action.RAISED, stream=invoice.number,
                        ms=abs(invoice.ms - ms), detail=detail,
                    )
                )  # fmt: skip
    return found
