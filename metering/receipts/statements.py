"""What there is to say in a receipt: as a gateway heard it when the stream ended, or as the ledger has it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from metering import periods, plans, rating
from metering.events import UsageEvent
from metering.ledger import accounts
from metering.models import LedgerEntry
from metering.receipts.body import Part, Statement, Terms
from tenants.scope import tenant_scope


def of_events(request_id: str, events: Sequence[UsageEvent]) -> Statement:
    """Of a stream's usage events, before the ledger has them: rated and dated as posting will."""
    first = events[0]
    tenant_id = UUID(first.tenant)
    with tenant_scope(tenant_id):
        time_zone = accounts.account_of(tenant_id).time_zone
        history = plans.history_of(tenant_id)
        parts = tuple(_part(event, history, time_zone) for event in events if event.to_ms > event.from_ms)
    return Statement(
        request_id=request_id,
        project=UUID(first.project),
        key=UUID(first.key),
        kind=first.kind,
        model=first.model,
        region=first.region,
        parts=parts,
    )


def of_entries(request_id: str, entries: Sequence[LedgerEntry]) -> Statement:
    """Of all ledger entries of a stream, with their prices."""
    first = entries[0]
    return Statement(
        request_id=request_id,
        project=_known(first.project_id),
        key=_known(first.key_id),
        kind=first.usage_kind,
        model=first.model,
        region=first.region,
        parts=tuple(_of_entry(entry) for entry in entries),
    )


def entries_of(request_id: str) -> list[LedgerEntry]:
    """Audio of the stream, counted or taken back, in the ledger's order. In the tenant's scope."""
    rows: Iterable[LedgerEntry] = (
        LedgerEntry.objects.filter(request_id=request_id, from_ms__isnull=False)
        .exclude(ms=0)
        .select_related("price__version")
        .order_by("seq")
    )
    return list(rows)


def _part(event: UsageEvent, history: plans.History, time_zone: str) -> Part:
    at = datetime.fromisoformat(event.processed_at)
    version = history.at(at)
    line = rating.choose(version, event.model, event.kind, event.region)
    price = None
    if version is not None and line is not None:
        tiers = tuple((tier.up_to_ms, f"{tier.per_minute:f}") for tier in line.tiers)
        price = Terms(str(line.id), line.label, version.currency, line.included_ms, tiers)
    period = periods.period_of(at, time_zone).first_day
    return Part(event.stream, event.from_ms, event.to_ms, at, period, price)


def _of_entry(entry: LedgerEntry) -> Part:
    price = None
    if entry.price is not None:
        its = entry.price
        tiers = tuple((tier["up_to_ms"], str(tier["per_minute"])) for tier in its.tiers)
        # The price's own: an entry that cost nothing may be of before the account took another currency.
        price = Terms(str(its.id), its.label, its.version.currency, its.included_ms, tiers)
    return Part(
        stream=entry.stream,
        from_ms=entry.from_ms or 0,
        to_ms=entry.to_ms or 0,
        at=entry.processed_at,
        period=entry.period,
        price=price,
        taken_back=entry.ms < 0,
    )


def _known(value: UUID | None) -> UUID:
    if value is None:
        raise ValueError("a ledger entry of audio names its project and its key")
    return value
