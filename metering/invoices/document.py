"""The document of an invoice: what README.md describes, made of a tally and price lines. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from metering.invoices.lines import Problem, lines_of
from metering.invoices.money import coins, exact, places
from metering.invoices.tally import ZERO, Stream, Sum, Tally
from metering.ledger.chain import Line
from metering.rating import PriceLine

VERSION = 1
MAX_LISTED = 50_000  # of more streams the stored document lists none: a row must stay of a sane size

Document = dict[str, Any]


@dataclass(frozen=True)
class Priced:
    """A price line with the plan version it stands in."""

    line: PriceLine
    currency: str
    plan: str
    version: int
    effective_from: datetime
    minimum_ms: int


@dataclass(frozen=True)
class Facts:
    """What the ledger does not say."""

    seller: Mapping[str, Any]
    customer: Mapping[str, Any]
    mode: str
    currency: str  # of a period without entries
    time_zone: str
    first_day: date
    starts_at: datetime
    ends_at: datetime
    projects: Mapping[str, str]  # names by id
    prices: Mapping[UUID, Priced]


@dataclass(frozen=True)
class Final:
    """What a draft does not say. The number is put in when all else is done."""

    issued_on: date
    due_on: date


def build(tally: Tally, facts: Facts, final: Final | None = None) -> tuple[Document, list[Problem]]:
    """The document, and where the ledger's amounts are not what its own prices say."""
    currency = tally.currency or facts.currency
    lines, problems = lines_of(tally, _told_apart(facts.prices))
    subtotal = sum((Decimal(line["amount"]) for line in lines), ZERO)
    listed = len(tally.streams) <= MAX_LISTED
    document = {
        "v": VERSION,
        "kind": "invoice",
        **head(facts, final),
        "mode": facts.mode,
        "lines": lines,
        **totals(subtotal, currency, prepaid=facts.mode == "prepaid"),
        "ms": tally.all.ms,
        "credits": [_credit(entry) for entry in tally.credits],
        "prices": [_price(priced) for priced in facts.prices.values()],
        "summary": _summary(tally, facts),
        "streams": list(stream_lines(tally)) if listed else [],
        "streams_count": len(tally.streams),
        "streams_listed": listed,
        "ledger": {
            "first_seq": tally.first_seq,
            "last_seq": tally.last_seq,
            "entries": tally.all.count,
            "ms": tally.all.ms,
            "amount": exact(tally.all.amount),
            "head": tally.head,
        },
    }
    return document, problems


def _told_apart(prices: Mapping[UUID, Priced]) -> dict[UUID, PriceLine]:
    """Where two plans or versions have lines of one name, their lines on the invoice say which is which."""
    labels = Counter(priced.line.label for priced in prices.values())
    return {
        id: replace(priced.line, label=f"{priced.line.label} ({priced.plan}, version {priced.version})")
        if labels[priced.line.label] > 1
        else priced.line
        for id, priced in prices.items()
    }


def head(facts: Facts, final: Final | None) -> Document:
    return {
        "state": "final" if final else "draft",
        "number": "",
        "seller": dict(facts.seller),
        "customer": dict(facts.customer),
        "period": {
            "first_day": facts.first_day.isoformat(),
            "last_day": (_next_month(facts.first_day) - timedelta(days=1)).isoformat(),
            "time_zone": facts.time_zone,
            "starts_at": instant(facts.starts_at),
            "ends_at": instant(facts.ends_at),
        },
        "issued_on": final.issued_on.isoformat() if final else "",
        "due_on": final.due_on.isoformat() if final else "",
    }


def totals(subtotal: Decimal, currency: str, *, prepaid: bool) -> Document:
    total = coins(subtotal, currency)
    return {
        "currency": currency,
        "decimals": places(currency),
        "subtotal": exact(subtotal),
        "rounding": exact(total - subtotal),
        "total": str(total + 0),
        "due": str(coins(ZERO if prepaid or total < 0 else total, currency)),
    }


def stream_lines(tally: Tally) -> Iterator[Document]:
    """One by one: there may be many."""
    for stream in tally.streams.values():
        yield _stream(stream)


def _stream(stream: Stream) -> Document:
    first = stream.first
    return {
        "request_id": first.request_id,
        "processed_at": instant(first.processed_at),
        "ms": stream.sum.ms,
        "amount": exact(stream.sum.amount),
        "waived": exact(stream.sum.waived),
        "price": _id(first.price_id),
        "late": stream.late,
        "project": _id(first.project_id),
        "key": _id(first.key_id),
        "model": first.model,
        "kind": first.usage_kind,
        "region": first.region,
        "tags": list(first.tags),
        "ranges": _ranges(stream.ranges),
        "corrected": _ranges(stream.corrected),
    }


def _ranges(spans: Sequence[tuple[str, int, int]]) -> list[Document]:
    return [{"stream": stream, "from_ms": start, "to_ms": end} for stream, start, end in spans]


def _credit(entry: Line) -> Document:
    kinds = {"credit_note": "credit_note", "stripe": "payment", "payment": "payment"}
    return {
        "type": kinds.get(entry.reference.partition(":")[0], "credit"),
        "description": entry.reason,
        "reference": entry.reference,
        "at": instant(entry.at),
        "amount": exact(entry.amount),
    }


def _price(priced: Priced) -> Document:
    line = priced.line
    return {
        "id": str(line.id),
        "label": line.label,
        "model": line.model,
        "kind": line.kind,
        "region": line.region,
        "included_ms": line.included_ms,
        "tiers": [{"up_to_ms": tier.up_to_ms, "per_minute": f"{tier.per_minute:f}"} for tier in line.tiers],
        "currency": priced.currency,
        "plan": priced.plan,
        "version": priced.version,
        "effective_from": instant(priced.effective_from),
        "minimum_ms": priced.minimum_ms,
    }


def _summary(tally: Tally, facts: Facts) -> Document:
    def rows(name: str) -> list[tuple[str, Sum]]:
        # What has no name comes last.
        return sorted(tally.summaries[name].items(), key=lambda row: (row[0] == "", row[0]))

    def of(name: str) -> list[Document]:
        return [{"name": key, "ms": sum.ms, "amount": exact(sum.amount)} for key, sum in rows(name)]

    projects = [
        {"id": id, "name": facts.projects.get(id, id), "ms": sum.ms, "amount": exact(sum.amount)}
        for id, sum in rows("projects")
    ]
    return {
        "projects": projects,
        **{name: of(name) for name in ("tags", "models", "kinds", "regions", "days")},
    }


def instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _id(id: UUID | None) -> str | None:
    return None if id is None else str(id)


def _next_month(first: date) -> date:
    return (first + timedelta(days=32)).replace(day=1)
