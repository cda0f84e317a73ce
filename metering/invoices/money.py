"""Amounts as an invoice writes them. Pure."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

MILLIONTH = Decimal("0.000001")
# ISO 4217: the currencies whose smallest coin is no hundredth.
_NONE = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THREE = "BHD IQD JOD KWD LYD OMR TND"
PLACES = {**dict.fromkeys(_NONE.split(), 0), **dict.fromkeys(_THREE.split(), 3), "CLF": 4, "UYW": 4}


def places(currency: str) -> int:
    return PLACES.get(currency, 2)


def coins(amount: Decimal, currency: str) -> Decimal:
    """Rounded to the smallest coin: half up, that is away from zero."""
    return amount.quantize(Decimal(1).scaleb(-places(currency)), ROUND_HALF_UP)


def exact(amount: Decimal) -> str:
    """To the millionth; what is finer would be a mistake of ours, so it is refused."""
    shown = amount.quantize(MILLIONTH)
    if shown != amount:
        raise ValueError(f"an amount of the ledger is finer than a millionth: {amount}")
    return str(shown + 0)  # no -0


def minutes(ms: int) -> str:
    """For reading, to 3 places, half up; what counts is the milliseconds."""
    return str((Decimal(ms) / 60_000).quantize(Decimal("0.001"), ROUND_HALF_UP) + 0)


def readable(amount: str, least: int = 2) -> str:
    """`1234567.500000` as `1,234,567.50`: thousands apart, and no zeros past the `least` places."""
    number = Decimal(amount)
    whole, _, fraction = f"{abs(number):,f}".partition(".")
    fraction = fraction.rstrip("0").ljust(least, "0")
    sign = "\N{MINUS SIGN}" if number < 0 else ""
    return f"{sign}{whole}.{fraction}" if fraction else f"{sign}{whole}"
