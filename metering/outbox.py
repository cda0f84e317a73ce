"""Ledger entries as intents for the payment provider, written down before anything is said.

A filling takes the entries after `Account.outbox_seq` and makes of each UTC hour and meter one intent. Its
range of entries is [from_seq, to_seq]; ranges of fillings follow each other without gap or overlap, and an
entry of the range belongs to the intent of its hour. An hour whose sum is nothing has no intent. Negative
sums (corrections) are sent: meters take them, and an invoice takes the sum of all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from django.db.models import F, Max, Min, Q, QuerySet, Sum
from django.db.models.functions import TruncHour
from django.utils import timezone

from metering import cycles
from metering.models import Account, LedgerEntry, MeterIntent, ProviderObject
from metering.models.ledger import EntryKind
from metering.models.outbox import IntentState
from metering.rating import millionths as millionths
from tenants.scope import staff_scope, tenant_scope

MS, AMOUNT = "ms", "amount"
# Money that was paid is no usage, and the provider knows of it already.
CHARGED = (EntryKind.USAGE.value, EntryKind.CORRECTION.value, EntryKind.ADJUSTMENT.value)
# Of an intent that somebody dropped after reconciliation had sent what was missing, this one with it.
SENT_OTHERWISE = "reconciliation has sent it"
# What the provider is not to have: what another intent stands for, or somebody dropped.
GONE = Q(state=IntentState.DROPPED.value) & ~Q(error=SENT_OTHERWISE)
RECONCILED = "reconcile-"  # how the identifiers of what reconciliation sends begin
UNSETTLED = [IntentState.PENDING.value, IntentState.SENDING.value, IntentState.DOUBTFUL.value]


@dataclass(frozen=True)
class Part:
    """Entries of one hour and one billing period."""

    first_at: datetime  # the earliest of them was processed then
    period: date
    ms: int
    amount: int  # in millionths


def fill(tenant_id: UUID | None = None, *, now: datetime | None = None, force: bool = False) -> int:
    """Make intents for what the ledger has and they do not; how many were made. Unless forced, entries of
    the hour that is not over yet wait, so that there are few events. Accounts that are no customers of the
    provider wait too, and so do those that somebody investigates: `outbox_seq` stays where it is."""
    now = now or timezone.now()
    return sum(_fill(one, now, force) for one in ([tenant_id] if tenant_id else _waiting()))


def unsettled(tenant_id: UUID, meter: str, start: datetime, end: datetime) -> int:
    """Intents of [start, end) of which nobody knows yet whether they have arrived."""
    with tenant_scope(tenant_id):
        return MeterIntent.objects.filter(
            tenant_id=tenant_id, meter=meter, timestamp__gte=start, timestamp__lt=end, state__in=UNSETTLED
        ).count()


def subscription_name(tenant_id: UUID, currency: str) -> str:
    return f"subscription:{tenant_id.hex}:{currency}"


def subscribed_since(account: Account) -> datetime | None:
    """Nothing earlier than this ends up on an invoice of the provider."""
    name = subscription_name(account.tenant_id, account.currency)
    found = ProviderObject.objects.filter(name=name, starts_at__isnull=False).order_by("-id").first()
    return found.starts_at if found else None


def grouped(parts: Iterable[Part], now: datetime, since: datetime | None) -> dict[datetime, Part]:
    """By the hour that the provider is told: of each its parts together, and the moment. Pure."""
    found: dict[datetime, Part] = {}
    for part in parts:
        moment = cycles.moment_of(part.first_at, part.period, now, since)
        hour = cycles.hour_of(moment)
        if other := found.get(hour):
            moment = min(moment, other.first_at)
            part = Part(moment, other.period, part.ms + other.ms, part.amount + other.amount)
        found[hour] = Part(moment, part.period, part.ms, part.amount)
    return found


def _waiting() -> list[UUID]:
    with staff_scope():
        accounts = Account.objects.filter(outbox_seq__lt=F("last_seq"), conservative=False)
        return list(accounts.exclude(customer="").order_by("tenant_id").values_list("tenant_id", flat=True))


def _fill(tenant_id: UUID, now: datetime, force: bool) -> int:
    with tenant_scope(tenant_id):
        account = Account.objects.select_for_update().filter(tenant_id=tenant_id).first()
        if account is None or not account.customer or account.conservative:
            return 0
        entries = LedgerEntry.objects.filter(tenant_id=tenant_id, seq__gt=account.outbox_seq)
        if not force:
            entries = _before_this_hour(entries, now)
        upto = entries.aggregate(upto=Max("seq"))["upto"]
        if upto is None:
            return 0
        made = _intents(account, account.outbox_seq + 1, int(upto), now)
        MeterIntent.objects.bulk_create(made)
        account.outbox_seq = int(upto)
        account.save(update_fields=["outbox_seq"])
        return len(made)


def _before_this_hour(entries: QuerySet[LedgerEntry], now: datetime) -> QuerySet[LedgerEntry]:
    """Up to the first entry of this hour. Sequence, not time, decides what lies before it."""
    first = entries.filter(at__gte=cycles.hour_of(now)).aggregate(first=Min("seq"))["first"]
    return entries if first is None else entries.filter(seq__lt=first)


def _intents(account: Account, from_seq: int, to_seq: int, now: datetime) -> list[MeterIntent]:
    rows = (
        charged(account, from_seq, to_seq)
        .order_by()
        .values(hour=TruncHour("processed_at"), in_period=F("period"))
        .annotate(first=Min("processed_at"), all_ms=Sum("ms"), all_amount=Sum("amount"))
    )
    parts = [
        Part(row["first"], row["in_period"], int(row["all_ms"]), millionths(row["all_amount"]))
        for row in rows
    ]
    made = []
    for hour, part in sorted(grouped(parts, now, subscribed_since(account)).items()):
        for meter, value in ((MS, part.ms), (AMOUNT, part.amount)):
            if value:
                made.append(_intent(account, meter, from_seq, to_seq, hour, value, part.first_at, now))
    return made


def charged(account: Account, from_seq: int, to_seq: int) -> QuerySet[LedgerEntry]:
    """What the provider is told of these entries. What cost nothing may be in another currency: it is of
    before the account had prices, and with them its currency."""
    its = Q(currency=account.currency) | Q(amount=0)
    entries = LedgerEntry.objects.filter(its, tenant_id=account.tenant_id, kind__in=CHARGED)
    return entries.filter(seq__range=(from_seq, to_seq))


def _intent(
    account: Account,
    meter: str,
    from_seq: int,
    to_seq: int,
    hour: datetime,
    value: int,
    moment: datetime,
    now: datetime,
) -> MeterIntent:
    return MeterIntent(
        tenant_id=account.tenant_id,
        meter=meter,
        from_seq=from_seq,
        to_seq=to_seq,
        value=value,
        timestamp=moment.replace(microsecond=0),
        customer=account.customer,
        identifier=f"{account.tenant_id.hex}-{meter}-{from_seq}-{to_seq}-{hour:%Y%m%d%H}",
        # A month may begin for the provider hours after it has begun for the customer.
        next_at=max(now, moment),
    )
