"""Adds up the ledger entries of a period: for the lines of the invoice, its summaries and streams. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from metering.invoices.errors import MixedCurrencies
from metering.ledger.chain import Line

ZERO = Decimal(0)
MINIMUM = "minimum:"
SUMMARIES = ("projects", "tags", "models", "kinds", "regions", "days")


@dataclass
class Sum:
    ms: int = 0
    amount: Decimal = ZERO
    waived: Decimal = ZERO
    count: int = 0

    def add(self, entry: Line) -> None:
        self.ms += entry.ms
        self.amount += entry.amount
        self.waived += entry.waived
        self.count += 1

    @property
    def gross(self) -> Decimal:
        """What it would have cost without caps."""
        return self.amount + self.waived


def _sums() -> defaultdict[Any, Sum]:
    return defaultdict(Sum)


@dataclass
class Stream:
    """What one request used of one price line, with one set of attributes."""

    first: Line
    late: bool
    sum: Sum = field(default_factory=Sum)
    ranges: list[tuple[str, int, int]] = field(default_factory=list)
    corrected: list[tuple[str, int, int]] = field(default_factory=list)


@dataclass
class Tally:
    """By price line (its id, None: no line fits) or as they come."""

    usage: defaultdict[UUID | None, Sum] = field(default_factory=_sums)
    corrections: defaultdict[UUID | None, Sum] = field(default_factory=_sums)
    earlier: defaultdict[UUID | None, Sum] = field(default_factory=_sums)
    minimums: defaultdict[UUID | None, Sum] = field(default_factory=_sums)
    adjustments: list[Line] = field(default_factory=list)
    # Money that was paid or given back: it changes no total, as the payment provider is not told of it.
    credits: list[Line] = field(default_factory=list)
    streams: dict[tuple[Any, ...], Stream] = field(default_factory=dict)
    summaries: dict[str, defaultdict[str, Sum]] = field(
        default_factory=lambda: {name: _sums() for name in SUMMARIES}
    )
    all: Sum = field(default_factory=Sum)
    first_seq: int = 0
    last_seq: int = 0
    head: str = ""  # hash of the last entry, in hex
    currency: str = ""


def tally(entries: Iterable[Line], starts_at: datetime, zone: ZoneInfo) -> Tally:
    found = Tally()
    for entry in entries:
        # What cost nothing may be of before the account had prices, and with them its currency.
        if entry.amount or entry.waived:
            if found.currency not in ("", entry.currency):
                raise MixedCurrencies(found.currency, entry.currency, entry.seq)
            found.currency = entry.currency
        found.first_seq = found.first_seq or entry.seq
        found.last_seq, found.head = entry.seq, entry.hash.hex()
        found.all.add(entry)
        if entry.kind == "credit":
            found.credits.append(entry)
            continue
        if entry.kind == "adjustment":
            _adjust(found, entry)
        else:
            _audio(found, entry, starts_at)
        _summarise(found, entry, zone)
    return found


def _adjust(found: Tally, entry: Line) -> None:
    if entry.reference.startswith(MINIMUM):
        found.minimums[entry.price_id].add(entry)
    else:
        found.adjustments.append(entry)


def _audio(found: Tally, entry: Line, starts_at: datetime) -> None:
    if entry.rated_in not in (None, entry.period):
        # At what the counters of its own period say. What was not charged there stands on that invoice.
        by_price, entry = found.earlier, replace(entry, waived=ZERO)
    else:
        by_price = found.usage if entry.kind == "usage" else found.corrections
    by_price[entry.price_id].add(entry)
    span = (entry.from_ms or 0, entry.to_ms or 0)
    late = entry.processed_at < starts_at
    key = (
        entry.request_id, entry.price_id, late, entry.project_id, entry.key_id, entry.model,
        entry.usage_kind, entry.region, *entry.tags,
    )  # fmt: skip
    stream = found.streams.get(key)
    if stream is None:
        stream = found.streams[key] = Stream(entry, late)
    stream.sum.add(entry)
    ranges = stream.ranges if entry.kind == "usage" else stream.corrected
    if ranges and ranges[-1][0] == entry.stream and ranges[-1][2] == span[0]:
        ranges[-1] = (entry.stream, ranges[-1][1], span[1])
    else:
        ranges.append((entry.stream, *span))


def _summarise(found: Tally, entry: Line, zone: ZoneInfo) -> None:
    """A request of two tags counts under each of them; everything else adds up to the sub-total."""
    by = found.summaries
    by["projects"][str(entry.project_id or "")].add(entry)
    for tag in set(entry.tags) or {""}:
        by["tags"][tag].add(entry)
    by["models"][entry.model].add(entry)
    by["kinds"][entry.usage_kind].add(entry)
    by["regions"][entry.region].add(entry)
    by["days"][entry.processed_at.astimezone(zone).date().isoformat()].add(entry)
