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
from typing import Any
from uuid import UUID, uuid4

from django.db import connection

from metering.ledger import rows, witnesses
from metering.ledger.book import NO_PRICE, Count
from metering.ledger.chain import START, Line, hash_of
from metering.models.ledger import EntryKind
from metering.plans import line_of
from metering.rating import cost_in_millionths, millionths, money
from tenants.scope import tenant_scope

CHUNK = 2000
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
        for line in _stream(tenant_id):
            if not compared and line.seq > head.seq:
                yield from _compare(tenant_id, so_far, head)
                compared = True
            yield from _row(tenant_id, so_far, line)
            for number, its in invoices.pop(line.seq, ()):
                if its != line.hash.hex():
                    yield Finding(tenant_id, line.seq, "rewritten", f"invoice {number} was made of another")
            _add(so_far, line)
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
    said = millionths(line.amount) + millionths(line.waived)
    return "" if said == full else f"it costs {full} millionths, and says {said}"


def _add(so_far: Reckoned, line: Line) -> None:
    amount, waived = millionths(line.amount), millionths(line.waived)
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
    found = Head(seq, bytes(last_hash), millionths(balance), period, millionths(charged), int(usage_ms))
    for text in counters:
        day, price_id, ms, its_charged, waived = text.strip("()").split(",")
        found.counters[date.fromisoformat(day), UUID(price_id)] = Count(
            int(ms), millionths(Decimal(its_charged)), millionths(Decimal(waived))
        )
    return found


def _stream(tenant_id: UUID) -> Iterator[Line]:
    """All rows in order, a chunk at a time, by a cursor on the server: one statement, one moment."""
    columns = ", ".join(rows.COLUMNS)
    name = f"verify_{uuid4().hex}"
    with connection.cursor() as cursor:
        cursor.execute(
            f"DECLARE {name} NO SCROLL CURSOR FOR SELECT {columns} FROM metering_ledgerentry "  # noqa: S608
            "WHERE tenant_id = %s ORDER BY seq, id",
            [tenant_id],
        )
        try:
            while True:
                cursor.execute(f"FETCH {CHUNK} FROM {name}")
                chunk: list[Any] = cursor.fetchall()
                for row in chunk:
                    yield rows.as_line(row)
                if len(chunk) < CHUNK:
                    return
        finally:
            cursor.execute(f"CLOSE {name}")
