"""Do an invoice's lines and totals follow from its streams and its prices?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from stenogate.pricing import cost, number, places, rounded

OF_AUDIO = ("usage", "correction", "earlier_correction")
TYPES = (*OF_AUDIO, "minimum", "waived", "adjustment", "credit")
ZERO = Decimal(0)


def check(invoice: Mapping[str, Any]) -> list[str]:
    """Of an invoice or a credit note."""
    problems = [*_totals(invoice)]
    if invoice["kind"] == "invoice":
        problems += [*_lines(invoice), *_streams(invoice), *_summary(invoice)]
    return problems


# ---- lines


def _lines(invoice: Mapping[str, Any]) -> Iterator[str]:
    prices = {price["id"]: price for price in invoice["prices"]}
    if len(prices) < len(invoice["prices"]):
        yield "prices: one of them is there twice"
    usage_ms: dict[str | None, int] = {}
    seen: set[tuple[str, str | None]] = set()
    for place, line in enumerate(invoice["lines"], 1):
        where, type_, id, amount = f"line {place}", line["type"], line["price"], number(line["amount"])
        if type_ not in TYPES:
            yield f"{where}: nobody knows what the type {type_!r} is"
            continue
        if type_ in (*OF_AUDIO, "minimum", "waived"):
            if (type_, id) in seen:
                yield f"{where}: there are two lines {type_} of this price"
            seen.add((type_, id))
        if id is not None and id not in prices:
            yield f"{where}: its price {id} is not on the invoice"
            continue
        price = prices[id] if id is not None else None
        # What cost nothing may be of before the account had its currency.
        if price is not None and amount and price["currency"] != invoice["currency"]:
            yield f"{where}: its price is in {price['currency']}, the invoice in {invoice['currency']}"
        if type_ == "usage":
            usage_ms[id] = line["ms"]
            computed = cost(price, line["ms"]) if price else ZERO
            yield from _parts(where, line, price)
        elif type_ == "correction":
            before = usage_ms.get(id, 0)
            if not 0 <= before + line["ms"] <= before:
                yield f"{where}: it takes back {-line['ms']} ms of {before} ms"
                continue
            computed = cost(price, before + line["ms"]) - cost(price, before) if price else ZERO
        else:
            yield from _sign(where, line, amount, price)
            continue
        if amount != computed:
            yield f"{where}: {line['ms']} ms are {computed} {invoice['currency']}, and it says {amount}"


def _parts(where: str, line: Mapping[str, Any], price: Mapping[str, Any] | None) -> Iterator[str]:
    """How a usage line's milliseconds lie in the tiers."""
    if price is None:
        return
    at = 0
    for part in line["parts"]:
        amount = cost(price, part["to_ms"]) - cost(price, part["from_ms"])
        if part["from_ms"] != at or part["to_ms"] - part["from_ms"] != part["ms"]:
            yield f"{where}: its part from {part['from_ms']} ms does not go on where the one before it ends"
        if number(part["amount"]) != amount:
            yield f"{where}: its part from {part['from_ms']} ms is {amount}, and it says {part['amount']}"
        at = part["to_ms"]
    if at != line["ms"]:
        yield f"{where}: its parts end at {at} ms of {line['ms']} ms"
    if line["included_ms"] != min(price["included_ms"], line["ms"]):
        yield f"{where}: {line['included_ms']} ms are not what is included"


def _sign(
    where: str, line: Mapping[str, Any], amount: Decimal, price: Mapping[str, Any] | None
) -> Iterator[str]:
    """What the ledger alone can tell; here it can only be impossible."""
    if line["type"] in ("earlier_correction", "waived", "credit") and amount > 0:
        yield f"{where}: {line['type']} is to the customer's credit, and it says {amount}"
    if line["type"] == "minimum" and (amount < 0 or not price or not price["minimum_ms"]):
        yield f"{where}: no minimum charge of {amount} was agreed"


# ---- totals


def _totals(invoice: Mapping[str, Any]) -> Iterator[str]:
    said = {name: number(invoice[name]) for name in ("subtotal", "rounding", "total", "due")}
    subtotal = sum((number(line["amount"]) for line in invoice["lines"]), ZERO)
    if said["subtotal"] != subtotal:
        yield f"subtotal: the lines are {subtotal} together, and it says {said['subtotal']}"
    # Not as the invoice has it: whoever chooses where to round chooses the total.
    decimals = places(invoice["currency"])
    if invoice["decimals"] != decimals:
        yield f"decimals: {invoice['currency']} has {decimals}, and it says {invoice['decimals']}"
    total = rounded(subtotal, decimals)
    if said["total"] != total:
        yield f"total: {subtotal} rounded is {total}, and it says {said['total']}"
    if said["rounding"] != said["total"] - said["subtotal"]:
        yield f"rounding: it is {said['total'] - said['subtotal']}, and it says {said['rounding']}"
    if invoice["kind"] == "invoice":
        due = ZERO if invoice["mode"] == "prepaid" or total < 0 else total
        if said["due"] != due:
            yield f"due: it is {due}, and it says {said['due']}"


def _streams(invoice: Mapping[str, Any]) -> Iterator[str]:
    """The streams of a price line add up to its lines, in milliseconds and in money."""
    streams_ms: dict[str | None, int] = defaultdict(int)
    streams_cost: dict[str | None, Decimal] = defaultdict(Decimal)
    lines_ms: dict[str | None, int] = defaultdict(int)
    lines_cost: dict[str | None, Decimal] = defaultdict(Decimal)
    for stream in invoice["streams"]:
        streams_ms[stream["price"]] += stream["ms"]
        streams_cost[stream["price"]] += number(stream["amount"]) + number(stream["waived"])
    for line in invoice["lines"]:
        if line["type"] in OF_AUDIO:
            lines_ms[line["price"]] += line["ms"]
            lines_cost[line["price"]] += number(line["amount"])
    for id in sorted({*streams_ms, *lines_ms}, key=str):
        if streams_ms[id] != lines_ms[id]:
            yield f"price {id}: its streams are {streams_ms[id]} ms, its lines {lines_ms[id]} ms"
        if streams_cost[id] != lines_cost[id]:
            yield f"price {id}: its streams are {streams_cost[id]}, its lines {lines_cost[id]}"
    ms = sum(streams_ms.values())
    for name, told in (("ms", invoice["ms"]), ("ledger.ms", invoice["ledger"]["ms"])):
        if told != ms:
            yield f"{name}: the streams are {ms} ms, and it says {told}"
    if invoice["streams_count"] != len(invoice["streams"]):
        yield f"streams_count: there are {len(invoice['streams'])}, and it says {invoice['streams_count']}"


def _summary(invoice: Mapping[str, Any]) -> Iterator[str]:
    for name, key in (("projects", "project"), ("models", "model"), ("kinds", "kind"), ("regions", "region")):
        yield from _summed(name, invoice, [(one[key] or "", one["ms"]) for one in invoice["streams"]])
    tagged = [(tag, one["ms"]) for one in invoice["streams"] for tag in set(one["tags"]) or {""}]
    yield from _summed("tags", invoice, tagged)
    days = sum(row["ms"] for row in invoice["summary"]["days"])
    if days != invoice["ms"]:
        yield f"summary by days: together they are {days} ms of {invoice['ms']} ms"
    for name in ("projects", "models", "kinds", "regions", "days"):
        amount = sum((number(row["amount"]) for row in invoice["summary"][name]), ZERO)
        if amount != number(invoice["subtotal"]):
            yield f"summary by {name}: together they are {amount} of {invoice['subtotal']}"


def _summed(name: str, invoice: Mapping[str, Any], parts: Iterable[tuple[str, int]]) -> Iterator[str]:
    found: dict[str, int] = defaultdict(int)
    for part, ms in parts:
        found[part] += ms
    said = {row["id" if name == "projects" else "name"] or "": row["ms"] for row in invoice["summary"][name]}
    for part in sorted({*found, *said}):
        if found.get(part, 0) != said.get(part, 0):
            yield (
                f"summary by {name}: of {part!r} there are {found.get(part, 0)} ms, and it says "
                f"{said.get(part, 0)}"
            )
