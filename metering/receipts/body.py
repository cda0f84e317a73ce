"""What a receipt says, as the text that is signed. Pure.

The text is JSON in one form only: keys in order, no white space, UTF-8, whole numbers and strings, no floats.
Whoever has it needs no form at all: the signature is of the text as it stands.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

VERSION = 1


@dataclass(frozen=True)
class Terms:
    """A price line as a receipt tells it: what a stream costs depends on the rest of the period, this not."""

    id: str
    label: str
    currency: str
    included_ms: int
    tiers: tuple[tuple[int | None, str], ...]  # up to so many ms, so much a minute


@dataclass(frozen=True)
class Part:
    """Processed audio `[from_ms, to_ms)` of a stream, and where it is billed; with `taken_back`, that it is
    billed no more."""

    stream: str
    from_ms: int
    to_ms: int
    at: datetime  # the last of it was processed then
    period: date  # the first day of the billing period
    price: Terms | None = None  # None: it costs nothing
    taken_back: bool = False

    @property
    def ms(self) -> int:
        return (self.from_ms - self.to_ms) if self.taken_back else (self.to_ms - self.from_ms)


@dataclass(frozen=True)
class Statement:
    """All that is billed of a stream, or has been."""

    request_id: str
    project: UUID
    key: UUID
    kind: str
    model: str
    region: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Place:
    """Where a receipt stands in its tenant's chain."""

    tenant: UUID
    number: int
    revision: int
    issued_at: datetime
    previous: str | None  # the hash of the receipt before it, in hex
    supersedes: int | None  # the number of the receipt that it takes the place of


def text(statement: Statement, place: Place) -> str:
    parts = merged(statement.parts)
    prices = {part.price.id: part.price for part in parts if part.price is not None}
    return canonical({
        "v": VERSION,
        "request_id": statement.request_id,
        "number": place.number,
        "revision": place.revision,
        "supersedes": place.supersedes,
        "previous": place.previous,
        "tenant": str(place.tenant),
        "project": str(statement.project),
        "key": str(statement.key),
        "issued_at": moment(place.issued_at),
        "kind": statement.kind,
        "model": statement.model,
        "region": statement.region,
        "ms": sum(part.ms for part in parts),
        "ranges": [_range(part) for part in parts],
        "prices": [_price(prices[name]) for name in sorted(prices)],
    })  # fmt: skip


def canonical(value: Any) -> str:
    _refuse_floats(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(body: str) -> bytes:
    return hashlib.sha256(body.encode()).digest()


def merged(parts: Iterable[Part]) -> list[Part]:
    """In order, and what goes on where the one before it ended as one."""
    found: list[Part] = []
    for part in sorted(parts, key=_order):
        last = found[-1] if found else None
        if last is not None and _goes_on(last, part):
            found[-1] = replace(last, to_ms=part.to_ms, at=max(last.at, part.at))
        else:
            found.append(part)
    return found


def billed(parts: Sequence[Part]) -> dict[tuple[str, str, str], int]:
    """Milliseconds by stream, period and price: when two agree in this, they say the same."""
    found: Counter[tuple[str, str, str]] = Counter()
    for part in parts:
        found[part.stream, part.period.isoformat(), part.price.id if part.price else ""] += part.ms
    return {where: ms for where, ms in found.items() if ms}


def billed_by(body: str) -> dict[tuple[str, str, str], int]:
    """The same, of the text of a receipt."""
    found: Counter[tuple[str, str, str]] = Counter()
    for part in json.loads(body)["ranges"]:
        found[part["stream"], part["period"], part["price"] or ""] += part["ms"]
    return {where: ms for where, ms in found.items() if ms}


def _goes_on(last: Part, part: Part) -> bool:
    same = (last.stream, last.period, last.price, last.taken_back)
    return same == (part.stream, part.period, part.price, part.taken_back) and last.to_ms == part.from_ms


def _order(part: Part) -> tuple[Any, ...]:
    # Corrections after what they correct, each kind in the order of the audio.
    return part.taken_back, part.stream, part.from_ms, part.period, part.price.id if part.price else ""


def _range(part: Part) -> dict[str, Any]:
    return {
        "stream": part.stream,
        "from_ms": part.from_ms,
        "to_ms": part.to_ms,
        "ms": part.ms,
        "at": moment(part.at),
        "period": part.period.isoformat(),
        "price": part.price.id if part.price else None,
    }


def _price(price: Terms) -> dict[str, Any]:
    return {
        "id": price.id,
        "label": price.label,
        "currency": price.currency,
        "included_ms": price.included_ms,
        "tiers": [{"up_to_ms": up_to_ms, "per_minute": rate} for up_to_ms, rate in price.tiers],
    }


def moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _refuse_floats(value: Any) -> None:
    if isinstance(value, float):
        raise TypeError("a receipt has no floats")  # two programs may write the same one differently
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _refuse_floats(one)
