"""Is every stream of an invoice what its receipt says, each once, and none missing?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

from stenogate.pricing import number
from stenogate.receipts import Chain, Range, Receipt

# Of a stream's name, a price and whether it was taken back: `[from, to)` in milliseconds.
Where: TypeAlias = tuple[str, str | None, bool]
Spans: TypeAlias = dict[Where, list[tuple[int, int]]]


def check(invoice: Mapping[str, Any], chain: Chain) -> list[str]:
    problems = _prices(invoice, chain.latest)
    period = invoice["period"]["first_day"]
    billed: dict[str, Spans] = defaultdict(lambda: defaultdict(list))
    for place, line in enumerate(invoice["streams"], 1):
        where = f"stream line {place} ({line['request_id']})"
        spans, problem = _spans(line)
        problems += [f"{where}: {problem}"] if problem else []
        for at, found in spans.items():
            billed[line["request_id"]][at] += found
    for request_id, spans in billed.items():
        problems += _twice(request_id, spans)
        receipt = chain.latest.get(request_id)
        if receipt is None:
            problems.append(f"stream {request_id}: it is billed, and has no receipt")
        else:
            problems += _against(request_id, spans, _of_period(receipt.ranges, period), receipt)
    for request_id, receipt in chain.latest.items():
        if request_id not in billed and (spans := _of_period(receipt.ranges, period)):
            problems.append(f"{receipt}: {_ms(spans)} ms of this period are not on the invoice")
    return problems


def _spans(line: Mapping[str, Any]) -> tuple[Spans, str | None]:
    """The ranges of a line of the invoice, and what is wrong with it in itself."""
    spans: Spans = defaultdict(list)
    for name, taken_back in (("ranges", False), ("corrected", True)):
        for one in line[name]:
            spans[one["stream"], line["price"], taken_back].append((one["from_ms"], one["to_ms"]))
            if one["to_ms"] <= one["from_ms"] or one["from_ms"] < 0:
                return spans, f"a range goes from {one['from_ms']} to {one['to_ms']} ms"
            if one["stream"].partition(".")[0] != line["request_id"]:
                return spans, f"it has a range of stream {one['stream']}"
    if (ms := _ms(spans)) != line["ms"]:
        return spans, f"it says {line['ms']} ms, and its ranges are {ms} ms"
    return spans, None


def _twice(request_id: str, spans: Spans) -> list[str]:
    """No audio is billed twice, at one price or at two."""
    by_stream: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for (stream, _, taken_back), found in spans.items():
        if not taken_back:
            by_stream[stream] += found
    problems = []
    for stream, found in by_stream.items():
        for before, after in pairwise(sorted(found)):
            if after[0] < before[1]:
                problems.append(
                    f"stream {request_id}: {stream} is billed twice from {after[0]} to "
                    f"{min(before[1], after[1])} ms"
                )
    return problems


def _of_period(ranges: Iterable[Range], period: str) -> Spans:
    spans: Spans = defaultdict(list)
    for one in ranges:
        if one.period == period:
            spans[one.stream, one.price, one.taken_back].append((one.from_ms, one.to_ms))
    return spans


def _against(request_id: str, billed: Spans, signed: Spans, receipt: Receipt) -> list[str]:
    problems = []
    for where in sorted({*billed, *signed}, key=str):
        if (there := _joined(billed.get(where, ()))) != (here := _joined(signed.get(where, ()))):
            stream, price, taken_back = where
            said = "takes back" if taken_back else "bills"
            problems.append(
                f"stream {request_id}: the invoice {said} {_named(there)} of {stream} at price {price}, "
                f"{receipt} says {_named(here)}"
            )
    return problems


def _prices(invoice: Mapping[str, Any], latest: Mapping[str, Receipt]) -> list[str]:
    """The prices on the invoice are those that were signed when the audio was processed."""
    problems: dict[str, str] = {}
    on_invoice = {price["id"]: price for price in invoice["prices"]}
    for receipt in latest.values():
        for id, price in receipt.prices.items():
            if id not in problems and id in on_invoice and (differs := _differs(on_invoice[id], price)):
                name = f"price {id} ({on_invoice[id]['label']})"
                problems[id] = f"{name}: its {differs} is not as in {receipt}"
    return list(problems.values())


def _differs(ours: Mapping[str, Any], signed: Mapping[str, Any]) -> str | None:
    for name in ("currency", "included_ms"):
        if ours[name] != signed[name]:
            return name
    tiers = [
        [(tier["up_to_ms"], number(tier["per_minute"])) for tier in price["tiers"]]
        for price in (ours, signed)
    ]
    return "tiers" if tiers[0] != tiers[1] else None


def _joined(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """In order, and what touches as one."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if found and found[-1][1] == start:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found


def _named(spans: Sequence[tuple[int, int]]) -> str:
    return ", ".join(f"{start} to {end} ms" for start, end in spans) or "nothing"


def _ms(spans: Spans) -> int:
    return sum(
        (start - end) if taken_back else (end - start)
        for (_, _, taken_back), found in spans.items()
        for start, end in found
    )
