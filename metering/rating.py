"""What audio costs. Pure, exact, without a float: whole milliseconds in, money with six decimals out.

A price line counts the milliseconds of a billing period from 0. Its first `included_ms` cost nothing. What
comes after them runs through its tiers, each up to and with the `up_to_ms`-th millisecond after the included
ones, the last one open. The exact sum is rounded once, half up, to a millionth of the currency's unit.

A part costs what the total costs with it, less what the total costs without it. So the parts of a period
always sum to the cost of the whole, in whatever order and however cut they come, and a part that is taken
back gives back to the millionth what the total loses.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from uuid import UUID

PRICE_DECIMALS = 10  # of a price per minute, at most
MONEY_DECIMALS = 6
MINUTE_MS = 60_000
ZERO = Decimal("0.000000")


def _ten(power: int) -> int:
    return int(10**power)


# A millisecond at a price of 1 is this many millionths' worth of what `_exact` counts in.
_DIVISOR = MINUTE_MS * _ten(PRICE_DECIMALS - MONEY_DECIMALS)


@dataclass(frozen=True)
class Tier:
    up_to_ms: int | None  # None: without end
    per_minute: Decimal


@dataclass(frozen=True)
class PriceLine:
    id: UUID
    label: str
    model: str  # empty: any
    kind: str  # empty: live and recorded
    region: str  # empty: any
    included_ms: int
    tiers: tuple[Tier, ...]

    @cached_property
    def scaled(self) -> tuple[tuple[int | None, int], ...]:
        """The tiers with their prices as whole numbers."""
        return tuple((tier.up_to_ms, _scaled(tier.per_minute)) for tier in self.tiers)


@dataclass(frozen=True)
class Version:
    id: UUID
    number: int
    effective_from: datetime
    currency: str
    minimum_ms: int
    lines: tuple[PriceLine, ...]


def choose(version: Version | None, model: str, kind: str, region: str) -> PriceLine | None:
    """The line that fits and names most of model, kind and region; of those that name as many, the one that
    names the model, then the kind, then the region. None: this audio costs nothing."""
    best: PriceLine | None = None
    rank = (-1, False, False, False)
    for line in version.lines if version is not None else ():
        if line.model in ("", model) and line.kind in ("", kind) and line.region in ("", region):
            named = (bool(line.model), bool(line.kind), bool(line.region))
            if (sum(named), *named) > rank:
                best, rank = line, (sum(named), *named)
    return best


def cost(line: PriceLine, total_ms: int) -> Decimal:
    """What `total_ms` of a billing period cost in this line."""
    return money(cost_in_millionths(line, total_ms))


def cost_of_part(line: PriceLine, before_ms: int, ms: int) -> Decimal:
    """What `ms` cost on top of `before_ms`; with a minus, what is given back for them."""
    return money(cost_in_millionths(line, before_ms + ms) - cost_in_millionths(line, before_ms))


def cost_in_millionths(line: PriceLine, total_ms: int) -> int:
    if not isinstance(total_ms, int):
        raise TypeError("milliseconds are whole")
    if total_ms < 0:
        raise ValueError("a total of milliseconds is not below 0")
    left = max(0, total_ms - line.included_ms)
    exact = begins = 0
    for up_to, price in line.scaled:
        here = left if up_to is None else min(left, up_to - begins)
        exact += here * price
        left -= here
        if left == 0:
            break
        begins = up_to or 0
    return (2 * exact + _DIVISOR) // (2 * _DIVISOR)  # half up


def money(millionths: int) -> Decimal:
    """Millionths of a currency's unit, as money with its six decimals."""
    sign, digits = (1, -millionths) if millionths < 0 else (0, millionths)
    return Decimal((sign, tuple(map(int, str(digits))), -MONEY_DECIMALS))


def millionths(amount: Decimal) -> int:
    """Money as a whole number of millionths; it has no more decimals than that."""
    sign, digits, exponent = amount.as_tuple()
    if not isinstance(exponent, int):
        raise ValueError("this is no amount of money")
    whole = int("".join(map(str, digits)))
    shift = exponent + MONEY_DECIMALS
    scaled, rest = (whole * _ten(shift), 0) if shift >= 0 else divmod(whole, _ten(-shift))
    if rest:
        raise ValueError("money has six decimals at most")
    return -scaled if sign else scaled


def _scaled(per_minute: Decimal) -> int:
    if not isinstance(per_minute, Decimal):
        raise TypeError("a price is a Decimal")
    sign, digits, exponent = per_minute.as_tuple()
    if sign or not isinstance(exponent, int):
        raise ValueError("a price is a number, and not below 0")
    digit = int("".join(map(str, digits)))
    whole, rest = divmod(digit * _ten(PRICE_DECIMALS + max(exponent, 0)), _ten(max(-exponent, 0)))
    if rest:
        raise ValueError(f"a price per minute has {PRICE_DECIMALS} decimals at most")
    return whole
