"""Proves a tenant's ledger: every row as it was written, in its place, with nothing between and nothing lost,
and what is derived from it as it has to be. It reads row by row, and holds no more than the counters.

What it starts from is the account's head, read first. What came after it is verified too; whether somebody
put it in who is not the ledger is seen by the head as it is at the end. Whether all of it was written anew is
seen by what invoices and receipts say of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from uuid import UUID

from django.db import DataError, connection

from metering.ledger import rows, witnesses
from metering.ledger.book import NO_PRICE, Count
from metering.ledger.chain import START, Line, hash_of
from metering.models.ledger import EntryKind
from metering.plans import line_of
from metering.rating import cost_in_millionths, millionths, money
from tenants.scope import tenant_scope

NOT_MONEY = 10**30
MAX_FINDINGS = 100  # of one tenant; a ledger that is all wrong is not listed row by row

_HEAD = """
SELECT a.last_seq, a.last_hash, a.balance, a.period, a.charged,
    (SELECT COALESCE(sum(u.to_ms - u.from_ms), 0) FROM metering_usageevent u
     WHERE u.tenant_id = a.tenant_id AND NOT EXISTS (
        SELECT 1 FROM metering_unposted p WHERE p.event_id = u.id)),
    ARRAY(SELECT ROW(c.period, c.price_id, c.ms, c.charged, c.waived)::text
          FROM metering_counter c WHERE c.tenant_id = a.tenant_id)
FROM metering_account a WHERE a.tenant_id = %s
"""

_NO_TIME = """
SELECT seq FROM metering_ledgerentry WHERE tenant_id = %s
    AND (GREATEST(at, processed_at, period, rated_in) >= '9999-12-31'
         OR LEAST(at, processed_at, period, rated_in) < '0002-01-01')
ORDER BY seq LIMIT %s
"""


@dataclass(frozen=True)
class Finding:
    """`seq` of the row, or None where it is no row that is wrong."""

    tenant_id: UUID
    seq: int | None
    # "changed", "missing", "inserted", "moved", "rated", "rewritten"; "head", "counter", "usage", "receipt"
    what: str
    detail: str

    def __str__(self) -> str:
        where = f"entry {self.seq}" if self.seq is not None else "the account"
        return f"{where}: {self.what}: {self.detail}"


@dataclass(slots=True)
class Head:
    seq: int = 0
    hash: bytes = START
    balance: int = 0
    period: date | None = None
    charged: int = 0
    usage_ms: int = 0
    counters: dict[tuple[date, UUID], Count] = field(default_factory=dict)


@dataclass(slots=True)
class Reckoned:
    """What the rows so far say."""

    seq: int = 0
    hash: bytes = START
    balance: int = 0
    usage_ms: int = 0
    counters: dict[tuple[date, UUID], Count] = field(default_factory=dict)

    def count(self, period: date, price_id: UUID | None) -> Count:
        return self.counters.setdefault((period, price_id or NO_PRICE), Count())


def verify(tenant_id: UUID) -> list[Finding]:
    """What is wrong with this ledger; at most `MAX_FINDINGS`."""
    findings: list[Finding] = []
    for finding in _findings(tenant_id):
        findings.append(finding)
        if len(findings) == MAX_FINDINGS:
            break
    return findings


def _findings(tenant_id: UUID) -> Iterator[Finding]:
    with tenant_scope(tenant_id):
        head = _head(tenant_id)
        invoices = witnesses.of_invoices(tenant_id)
        so_far = Reckoned()
        compared = False
        try:
            for line in rows.stream(tenant_id):
                if not compared and line.seq > head.seq:
                    yield from _compare(tenant_id, so_far, head)
                    compared = True
                yield from _row(tenant_id, so_far, line)
                for number, its in invoices.pop(line.seq, ()):
                    if its != line.hash.hex():
                        yield Finding(
                            tenant_id, line.seq, "rewritten", f"invoice {number} was made of another"
                        )
                _add(so_far, line)
        except DataError:
            yield from _unreadable(tenant_id)
            return
        if not compared:
            yield from _compare(tenant_id, so_far, head)
        if so_far.seq > head.seq:
            last = _head(tenant_id).seq
            if so_far.seq > last:
                yield Finding(
                    tenant_id, last + 1, "inserted", f"the account's head is {last}, rows go to {so_far.seq}"
                )
        for seq, named in sorted(invoices.items()):
            for number, _ in named:
                yield Finding(tenant_id, seq, "missing", f"invoice {number} was made up to it")
        for said in witnesses.of_receipts(tenant_id, MAX_FINDINGS):
            yield Finding(tenant_id, None, "receipt", said)


def _unreadable(tenant_id: UUID) -> Iterator[Finding]:
    """PostgreSQL keeps times that Python has not; nobody else can have written them."""
    with connection.cursor() as cursor:
        cursor.execute(_NO_TIME, [tenant_id, MAX_FINDINGS])
        for (seq,) in cursor.fetchall():
            yield Finding(tenant_id, seq, "changed", "it has a time that there is not; no more can be read")


def _row(tenant_id: UUID, so_far: Reckoned, line: Line) -> Iterator[Finding]:
    """What is wrong with the next row, given those before it."""
    if line.seq <= so_far.seq:
        yield Finding(tenant_id, line.seq, "inserted", "its number is taken")
    elif line.seq > so_far.seq + 1:
        last = f" to {line.seq - 1}" if line.seq > so_far.seq + 2 else ""
        yield Finding(tenant_id, so_far.seq + 1, "missing", f"there is no entry {so_far.seq + 1}{last}")
    elif line.previous_hash != so_far.hash:
        yield Finding(tenant_id, line.seq, "moved", "it was not written after the entry that is before it")
    if hash_of(line) != line.hash:
        yield Finding(tenant_id, line.seq, "changed", "it does not say what was written")
    elif line.rated_in is not None:
        wrong = _rated_wrong(so_far, line)
        if wrong:
            yield Finding(tenant_id, line.seq, "rated", wrong)


def _rated_wrong(so_far: Reckoned, line: Line) -> str:
    """Whether amount and waived together are what the price line says at this place in its tiers."""
    full = 0
    if line.price_id is not None:
        price = line_of(line.price_id)
        before = so_far.count(line.rated_in or line.period, line.price_id).ms
        if before + line.ms < 0:
            return "it takes back more than was counted"
        full = cost_in_millionths(price, before + line.ms) - cost_in_millionths(price, before)
    said = _millionths(line.amount) + _millionths(line.waived)
    return "" if said == full else f"it costs {full} millionths, and says {said}"


def _add(so_far: Reckoned, line: Line) -> None:
    amount, waived = _millionths(line.amount), _millionths(line.waived)
    rated = so_far.count(line.rated_in or line.period, line.price_id)
    rated.ms += line.ms
    rated.waived += waived
    if line.kind != EntryKind.CREDIT:
        so_far.count(line.period, line.price_id).charged += amount
    if line.kind == EntryKind.USAGE:
        so_far.usage_ms += line.ms
    so_far.balance -= amount
    so_far.seq, so_far.hash = max(line.seq, so_far.seq), line.hash


def _compare(tenant_id: UUID, so_far: Reckoned, head: Head) -> Iterator[Finding]:
    """The head against all rows up to it."""
    if so_far.seq < head.seq:
        yield Finding(
            tenant_id,
            so_far.seq + 1,
            "missing",
            f"the account's head is {head.seq}, rows end at {so_far.seq}",
        )
        return
    if so_far.hash != head.hash:
        yield Finding(tenant_id, None, "head", f"its hash is not that of entry {head.seq}")
    if so_far.balance != head.balance:
        yield Finding(
            tenant_id,
            None,
            "head",
            f"its balance is {money(head.balance)}, its rows give {money(so_far.balance)}",
        )
    for period, price_id in sorted(so_far.counters.keys() | head.counters.keys()):
        is_count = head.counters.get((period, price_id), Count())
        be = so_far.counters.get((period, price_id), Count())
        if is_count != be:
            yield Finding(
                tenant_id,
                None,
                "counter",
                f"{period} {price_id}: it is {_said(is_count)}; its rows give {_said(be)}",
            )
    charged = sum(count.charged for (period, _), count in so_far.counters.items() if period == head.period)
    if head.period is not None and charged != head.charged:
        yield Finding(
            tenant_id,
            None,
            "head",
            f"{head.period}: charged is {money(head.charged)}, its rows give {money(charged)}",
        )
    if so_far.usage_ms != head.usage_ms:
        yield Finding(
            tenant_id, None, "usage",
            f"the ledger has {so_far.usage_ms} ms of usage, the events that were posted {head.usage_ms}",
        )  # fmt: skip


def _said(count: Count) -> str:
    return f"{count.ms} ms, {money(count.charged)} charged, {money(count.waived)} waived"


def _head(tenant_id: UUID) -> Head:
    """In one statement, which sees one moment."""
    with connection.cursor() as cursor:
        cursor.execute(_HEAD, [tenant_id])
        row = cursor.fetchone()
    if row is None:
        return Head()
    seq, last_hash, balance, period, charged, usage_ms, counters = row
    found = Head(seq, bytes(last_hash), _millionths(balance), period, _millionths(charged), int(usage_ms))
    for text in counters:
        day, price_id, ms, its_charged, waived = text.strip("()").split(",")
        found.counters[date.fromisoformat(day), UUID(price_id)] = Count(
            int(ms), _millionths(Decimal(its_charged)), _millionths(Decimal(waived))
        )
    return found


def _millionths(amount: Decimal) -> int:
    """PostgreSQL also keeps NaN. It is no money, and whatever it stands in comes out wrong."""
    return millionths(amount) if amount.is_finite() else NOT_MONEY
