"""The lines of an invoice: what a price line's milliseconds cost, and what was added and taken off. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from metering import rating
from metering.invoices.money import exact, minutes
from metering.invoices.tally import ZERO, Sum, Tally
from metering.rating import PriceLine

UNPRICED = "Audio that no price applies to"
WAIVED = "Not charged: past the spend cap or the prepaid credit"


@dataclass(frozen=True)
class Problem:
    """The ledger has charged for a price line what the line does not say."""

    description: str
    ledger: Decimal
    computed: Decimal

    def __str__(self) -> str:
        return f"{self.description}: the ledger says {self.ledger}, the price line says {self.computed}"


def lines_of(tally: Tally, prices: Mapping[UUID, PriceLine]) -> tuple[list[dict[str, Any]], list[Problem]]:
    """Every amount of the ledger but credits is in one of them, once."""
    lines: list[dict[str, Any]] = []
    problems: list[Problem] = []
    # Of all prices together: a correction of one gives back first what a cap had waived of any.
    waived = ZERO
    for id, price in _in_order(tally, prices):
        usage, corrected = tally.usage.get(id, Sum()), tally.corrections.get(id, Sum())
        computed = cost(price, usage.ms)
        net = cost(price, usage.ms + corrected.ms)
        name = price.label if price else UNPRICED
        if usage.gross + corrected.gross != net:
            problems.append(Problem(name, usage.gross + corrected.gross, net))
            # The lines must add up to the ledger all the same: it is what was charged.
            computed, net = usage.gross, usage.gross + corrected.gross
        if usage.count:
            lines.append(_usage(id, name, price, usage.ms, computed))
        if corrected.count:
            lines.append(_line("correction", f"Correction: {name}", id, corrected.ms, net - computed))
        earlier = tally.earlier.get(id, Sum())
        if earlier.count:
            text = f"Correction of an earlier period: {name}"
            lines.append(_line("earlier_correction", text, id, earlier.ms, earlier.gross))
        minimum = tally.minimums.get(id, Sum())
        if minimum.count:
            line = _line("minimum", f"Minimum charges: {name}", id, 0, minimum.gross)
            lines.append({**line, "requests": minimum.count})
        waived += usage.waived + corrected.waived + minimum.waived
    for entry in tally.adjustments:
        text = entry.reason or "Adjustment"
        lines.append(_line("adjustment", text, entry.price_id, entry.ms, entry.amount + entry.waived))
        waived += entry.waived
    if waived:
        lines.append(_line("waived", WAIVED, None, 0, -waived))
    return lines, problems


def cost(price: PriceLine | None, ms: int) -> Decimal:
    return rating.cost(price, ms) if price else ZERO


def _in_order(tally: Tally, prices: Mapping[UUID, PriceLine]) -> list[tuple[UUID | None, PriceLine | None]]:
    """As `prices` has them; what has no price comes last."""
    used = {*tally.usage, *tally.corrections, *tally.earlier, *tally.minimums}
    known = [(id, line) for id, line in prices.items() if id in used]
    return [*known, *([(None, None)] if None in used else [])]


def _usage(id: UUID | None, name: str, price: PriceLine | None, ms: int, amount: Decimal) -> dict[str, Any]:
    included = min(price.included_ms, ms) if price else 0
    parts = _parts(price, ms) if price else []
    line = _line("usage", name, id, ms, amount)
    of = {"model": price.model, "kind": price.kind, "region": price.region} if price else {}
    return {**line, **of, "included_ms": included, "parts": parts}


def _parts(price: PriceLine, ms: int) -> list[dict[str, Any]]:
    """The tiers that `ms` lie in. Each part's amount is what it adds to the cost, so that they add up."""
    parts = []
    for start, end, per_minute in tiers_of(price, ms):
        amount = rating.cost(price, end) - rating.cost(price, start)
        parts.append(
            {
                "from_ms": start, "to_ms": end, "ms": end - start, "minutes": minutes(end - start),
                "per_minute": f"{per_minute:f}", "amount": exact(amount),
            }
        )  # fmt: skip
    return parts


def tiers_of(price: PriceLine, ms: int) -> list[tuple[int, int, Decimal]]:
    """`[from, to)` of the period's total and its price: what is included first."""
    found = []
    start, free = 0, price.included_ms
    tiers = [
        (None if tier.up_to_ms is None else free + tier.up_to_ms, tier.per_minute) for tier in price.tiers
    ]
    for until, per_minute in [(free, ZERO), *tiers]:
        end = ms if until is None else min(until, ms)
        if end > start:
            found.append((start, end, per_minute))
            start = end
    return found


def _line(type_: str, text: str, price: UUID | None, ms: int, amount: Decimal) -> dict[str, Any]:
    return {
        "type": type_,
        "description": text,
        "price": None if price is None else str(price),
        "ms": ms,
        "minutes": minutes(ms),
        "amount": exact(amount),
    }
