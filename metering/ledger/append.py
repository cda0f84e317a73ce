"""Puts corrections, credits and adjustments into the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.utils import timezone

from metering import spend
from metering.intervals import Range, minus, union
from metering.ledger import minimum, rows
from metering.ledger.accounts import locked_account
from metering.ledger.book import Book
from metering.ledger.chain import Line
from metering.ledger.errors import EntryMalformed
from metering.models import LedgerEntry
from metering.models.ledger import EntryKind
from metering.plans import line_of
from metering.rating import ZERO, millionths
from tenants.scope import tenant_scope

MAX_MONEY = Decimal(10) ** 13  # the column holds fourteen digits before the point


@dataclass(frozen=True)
class NewEntry:
    """CREDIT: `amount` below 0, what is given. ADJUSTMENT: `amount` either way. CORRECTION: a range of a
    stream that was counted and should not have been; `ms` is minus its length, `amount` is reckoned here."""

    kind: EntryKind
    reason: str
    reference: str = ""
    amount: Decimal | None = None
    ms: int = 0
    stream: str = ""
    from_ms: int | None = None
    to_ms: int | None = None
    processed_at: datetime | None = None
    project_id: UUID | None = None
    key_id: UUID | None = None
    usage_kind: str = ""
    model: str = ""
    region: str = ""
    tags: tuple[str, ...] = ()


def append(tenant_id: UUID, entries: Sequence[NewEntry]) -> list[LedgerEntry]:
    """What was put in, or was in already under the same reference: then nothing is put in.

    A correction gives back what of its range is counted at this moment: nothing, where nothing is. It makes
    an entry of its own for each that it takes from; those after the first are `reference#2`, `reference#3`.
    """
    for entry in entries:
        check(entry)
    with tenant_scope(tenant_id):
        account = locked_account(tenant_id)
        now = timezone.now()
        book = Book(account, now)
        found: list[LedgerEntry] = []
        made: set[str] = set()
        for entry in entries:
            known = _known(tenant_id, entry.reference)
            found += known
            if known or (entry.reference and entry.reference in made):
                continue
            made.add(entry.reference)
            if entry.kind == EntryKind.CORRECTION:
                _correct(book, entry)
            else:
                book.charge(_money(book, entry), _amount(entry))
        minimum.give_back(book)
        if book.lines:
            book.close()
            spend.apply(account, now)
            seqs = [line.seq for line in book.lines]
            found += LedgerEntry.objects.filter(tenant_id=tenant_id, seq__in=seqs)
    return sorted(found, key=lambda entry: entry.seq)


def check(entry: NewEntry) -> None:
    if not 1 <= len(entry.reason) <= 300 or len(entry.reference) > 190:
        raise EntryMalformed("reason has 1 to 300 characters, and reference at most 190.")
    if entry.kind == EntryKind.CORRECTION:
        if entry.from_ms is None or entry.to_ms is None or not entry.stream or entry.amount is not None:
            raise EntryMalformed("A correction names a stream and a range, and no amount.")
        if not 0 <= entry.from_ms < entry.to_ms or entry.ms != entry.from_ms - entry.to_ms:
            raise EntryMalformed("A correction's ms is minus the length of its range.")
    elif entry.kind in (EntryKind.CREDIT, EntryKind.ADJUSTMENT):
        if not isinstance(entry.amount, Decimal) or not entry.amount.is_finite() or entry.ms:
            raise EntryMalformed("A credit or an adjustment has an amount, a Decimal, and no ms.")
        if abs(entry.amount) > MAX_MONEY:
            raise EntryMalformed("This is too much money for one entry.")
        if not entry.amount or (entry.kind == EntryKind.CREDIT and entry.amount > 0):
            raise EntryMalformed("A credit is below 0, and an adjustment is not 0.")
        _amount(entry)
    else:
        raise EntryMalformed("Usage is posted from usage events, and put in here by nobody.")


def _amount(entry: NewEntry) -> int:
    amount = entry.amount or Decimal(0)
    if amount != amount.quantize(ZERO):
        raise EntryMalformed("Money has six decimals at most.")
    return millionths(amount.quantize(ZERO))


def _known(tenant_id: UUID, reference: str) -> list[LedgerEntry]:
    if not reference:
        return []
    first = LedgerEntry.objects.filter(tenant_id=tenant_id, reference=reference).first()
    if first is None:
        return []
    if first.kind != EntryKind.CORRECTION:
        return [first]  # money's own reference may be anybody's `x#2`
    # Those of one reference were put in together, one after the other.
    found = [first]
    while True:
        following = LedgerEntry.objects.filter(
            tenant_id=tenant_id, reference=f"{reference}#{len(found) + 1}"
        ).first()
        if following is None:
            return found
        found.append(following)


def _money(book: Book, entry: NewEntry) -> Line:
    account = book.account
    at = entry.processed_at or book.now
    return Line(
        tenant_id=account.tenant_id, seq=0, kind=entry.kind.value, at=book.now, period=book.current.first_day,
        processed_at=at, project_id=entry.project_id, key_id=entry.key_id, stream=entry.stream,
        request_id=entry.stream.partition(".")[0], from_ms=entry.from_ms, to_ms=entry.to_ms, ms=0,
        usage_kind=entry.usage_kind, model=entry.model, region=entry.region, tags=tuple(entry.tags),
        price_id=None, currency=account.currency, rated_in=None, amount=Decimal(0), waived=Decimal(0),
        reason=entry.reason, reference=entry.reference,
    )  # fmt: skip


def _correct(book: Book, entry: NewEntry) -> None:
    tenant_id = book.account.tenant_id
    low, high = entry.from_ms or 0, entry.to_ms or 0
    stood = rows.select(
        "tenant_id = %s AND request_id = %s AND stream = %s AND from_ms < %s AND to_ms > %s",
        [tenant_id, entry.stream.partition(".")[0], entry.stream, high, low],
    )
    stood += [
        line for line in book.lines if line.stream == entry.stream and line.kind == EntryKind.CORRECTION.value
    ]
    taken = union(_range(line) for line in stood if line.kind == EntryKind.CORRECTION.value)
    number = 0
    for line in stood:
        if line.kind != EntryKind.USAGE.value:
            continue
        for start, end in minus([_within(line, low, high)], taken):
            number += 1
            reference = (
                entry.reference if number == 1 or not entry.reference else f"{entry.reference}#{number}"
            )
            rated_in = line.rated_in or line.period
            price = line_of(line.price_id) if line.price_id is not None else None
            correction = Line(
                tenant_id=tenant_id, seq=0, kind=EntryKind.CORRECTION.value, at=book.now,
                period=book.current.first_day if book.is_over(line.period) else line.period,
                processed_at=line.processed_at, project_id=line.project_id, key_id=line.key_id,
                stream=line.stream, request_id=line.request_id, from_ms=start, to_ms=end, ms=start - end,
                usage_kind=line.usage_kind, model=line.model, region=line.region, tags=line.tags,
                price_id=line.price_id, currency=book.account.currency, rated_in=rated_in,
                amount=Decimal(0), waived=Decimal(0), reason=entry.reason, reference=reference,
            )  # fmt: skip
            book.give_back(correction, book.rate(price, rated_in, start - end))


def _range(line: Line) -> Range:
    return (line.from_ms or 0, line.to_ms or 0)


def _within(line: Line, start: int, end: int) -> Range:
    low, high = _range(line)
    return (max(low, start), min(high, end))
