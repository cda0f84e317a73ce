"""Charges usage: takes events that the ledger does not have yet, and makes entries of them.

Events that touch and agree in all that matters become one entry. An event leaves `Unposted` in the
transaction that puts its entry into the ledger, under the account's lock: it is charged once, whatever
dies in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils import timezone

from metering import spend
from metering.ledger import minimum
from metering.ledger.accounts import locked_account, locked_if_free
from metering.ledger.book import Book
from metering.ledger.chain import Line
from metering.models import Account
from metering.models.ledger import EntryKind
from metering.rating import PriceLine
from tenants.scope import staff_scope, tenant_scope

# Events become one entry only within such a slice of UTC, of which every hour and day anywhere is made.
SLICE = timedelta(minutes=15)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_TAKE = """
WITH due AS (
    DELETE FROM metering_unposted WHERE event_id IN (
        SELECT event_id FROM metering_unposted WHERE tenant_id = %s ORDER BY event_id LIMIT %s)
    RETURNING event_id
)
SELECT u.stream, u.from_ms, u.to_ms, u.processed_at, u.project_id, u.key_id, u.kind, u.model, u.region, u.tags
FROM due JOIN metering_usageevent u ON u.id = due.event_id ORDER BY u.stream, u.from_ms
"""
# The tenants that have some, each found by one step in the index, however many events wait.
_WHO = """
WITH RECURSIVE who AS (
    (SELECT u.tenant_id FROM metering_{table} u WHERE {due} ORDER BY u.tenant_id LIMIT 1)
    UNION ALL
    SELECT (SELECT u.tenant_id FROM metering_{table} u WHERE u.tenant_id > who.tenant_id AND {due}
            ORDER BY u.tenant_id LIMIT 1)
    FROM who WHERE who.tenant_id IS NOT NULL
)
SELECT tenant_id FROM who WHERE tenant_id IS NOT NULL
"""


@dataclass(slots=True)
class Piece:
    """What is to be one entry."""

    stream: str
    from_ms: int
    to_ms: int
    processed_at: datetime  # the earliest of its events
    agrees: tuple[Any, ...]  # project, key, kind, model, region, tags
    price: PriceLine | None
    period: date
    slice: int


def post_due(tenant_id: UUID | None = None, limit: int = 5000) -> int:
    """Post up to `limit` events of the tenant, or of each tenant that has some and whose ledger nobody else
    is writing at this moment. Returns how many were posted."""
    if tenant_id is not None:
        return post_tenant(tenant_id, limit, wait=True)
    return sum(post_tenant(one, limit, wait=False) for one in waiting())


def waiting() -> list[UUID]:
    """The tenants that have something to be posted."""
    found: set[UUID] = set()
    with staff_scope(), connection.cursor() as cursor:
        for table, due in (("unposted", "true"), ("unsettled", "u.next_at <= %(now)s")):
            cursor.execute(_WHO.format(table=table, due=due), {"now": timezone.now()})
            found.update(row[0] for row in cursor.fetchall())
    return sorted(found)


def post_tenant(tenant_id: UUID, limit: int, *, wait: bool) -> int:
    """Without `wait`, nothing where somebody else is writing to this ledger."""
    with tenant_scope(tenant_id):
        account = locked_account(tenant_id) if wait else locked_if_free(tenant_id)
        if account is None:
            return 0
        with connection.cursor() as cursor:
            cursor.execute(_TAKE, [tenant_id, limit])
            events = cursor.fetchall()
        now = timezone.now()
        book = Book(account, now)
        _charge(book, events)
        settled = minimum.settle(book)
        if events or settled or book.lines:
            book.close()
            spend.apply(account, now)
    return len(events)


def _charge(book: Book, events: Sequence[Sequence[Any]]) -> None:
    pieces = merged(book, events)
    book.load({piece.period for piece in pieces})
    # Where a cap is in the way, what was processed first is charged first.
    for piece in sorted(pieces, key=lambda one: (one.processed_at, one.stream, one.from_ms)):
        ms = piece.to_ms - piece.from_ms
        full = book.rate(piece.price, piece.period, ms)
        book.charge(_entry(book.account, piece, ms, book.now), full)


def merged(book: Book, events: Iterable[Sequence[Any]]) -> list[Piece]:
    """Events in the order of stream and range, as few pieces."""
    pieces: list[Piece] = []
    prices: dict[tuple[Any, ...], PriceLine | None] = {}
    last: Piece | None = None
    for stream, from_ms, to_ms, processed_at, project, key, kind, model, region, tags in events:
        version = book.version_at(processed_at)
        which = (version.id if version else None, model, kind, region)
        if which not in prices:
            prices[which] = book.price_at(processed_at, model, kind, region)
        price = prices[which]
        period = book.period_for(processed_at).first_day
        agrees = (project, key, kind, model, region, tuple(tags))
        at = (processed_at - _EPOCH) // SLICE
        if (
            last is not None
            and last.to_ms == from_ms
            and last.stream == stream
            and last.agrees == agrees
            and last.slice == at
            and last.period == period
            and last.price is price
        ):
            last.to_ms = to_ms
            last.processed_at = min(last.processed_at, processed_at)
            continue
        last = Piece(stream, from_ms, to_ms, processed_at, agrees, price, period, at)
        pieces.append(last)
    return pieces


def _entry(account: Account, piece: Piece, ms: int, now: datetime) -> Line:
    project, key, kind, model, region, tags = piece.agrees
    return Line(
        tenant_id=account.tenant_id,
        seq=0,
        kind=EntryKind.USAGE.value,
        at=now,
        period=piece.period,
        processed_at=piece.processed_at,
        project_id=project,
        key_id=key,
        stream=piece.stream,
        request_id=request_of(piece.stream),
        from_ms=piece.from_ms,
        to_ms=piece.to_ms,
        ms=ms,
        usage_kind=kind,
        model=model,
        region=region,
        tags=tags,
        price_id=piece.price.id if piece.price is not None else None,
        currency=account.currency,
        rated_in=piece.period,
        amount=Decimal(0),
        waived=Decimal(0),
        reason="",
        reference="",
    )


def request_of(stream: str) -> str:
    """The request id that a stream's name begins with."""
    return stream.partition(".")[0]
