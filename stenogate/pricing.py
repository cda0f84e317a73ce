"""What audio costs by a price line, from its published rule alone.

The first `included_ms` of a billing period cost nothing; what comes after them runs through the tiers, each
up to `up_to_ms` after the included ones. The exact sum is rounded once, half up, to six places.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from math import floor
from typing import Any

MILLION = 10**6
MS_PER_MINUTE = 60_000
# ISO 4217: how many decimals a currency's smallest coin has, where that is not two.
_NONE = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THREE = "BHD IQD JOD KWD LYD OMR TND"
_PLACES = {**dict.fromkeys(_NONE.split(), 0), **dict.fromkeys(_THREE.split(), 3), "CLF": 4, "UYW": 4}


def places(currency: str) -> int:
    return _PLACES.get(currency, 2)


def number(text: object) -> Decimal:
    """An amount or a price: digits and a point, the same to every reader, and of a sane size."""
    if not isinstance(text, str) or not re.fullmatch(r"-?[0-9]{1,20}(\.[0-9]{1,20})?", text):
        raise ValueError("that is no amount")
    return Decimal(text)


def cost(price: Mapping[str, Any], ms: int) -> Decimal:
    """Of a period's whole total `ms`."""
    if ms < 0:
        raise ValueError("a total of milliseconds is not below 0")
    left = max(0, ms - price["included_ms"])
    exact, begins = Fraction(0), 0
    for tier in price["tiers"]:
        until = tier["up_to_ms"]
        here = left if until is None else min(left, until - begins)
        exact += Fraction(here, MS_PER_MINUTE) * Fraction(number(tier["per_minute"]))
        left -= here
        begins = until or 0
    return Decimal(floor(exact * MILLION + Fraction(1, 2))).scaleb(-6)


def rounded(amount: Decimal, places: int) -> Decimal:
    """Half up: at the half away from zero."""
    scaled = abs(Fraction(amount)) * 10**places
    whole = floor(scaled + Fraction(1, 2))
    return Decimal(-whole if amount < 0 else whole).scaleb(-places)
