"""The rounding rule, and that it is the service's own, though none of its code."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering import rating
from metering.invoices import money
from metering.rating import PriceLine, Tier
from stenogate.pricing import cost, number, places, rounded

prices = st.decimals(0, 100, places=6)
tiers = st.lists(st.integers(1, 10_000_000), max_size=3, unique=True).flatmap(
    lambda ends: st.tuples(*[prices] * (len(ends) + 1)).map(
        lambda found: [
            {"up_to_ms": up_to_ms, "per_minute": str(price)}
            for up_to_ms, price in zip([*sorted(ends), None], found, strict=True)
        ]
    )
)


@given(tiers, st.integers(0, 10_000_000), st.integers(0, 100_000_000))
def test_it_costs_what_the_service_says(tiers: list[dict[str, Any]], included_ms: int, ms: int) -> None:
    line = PriceLine(
        UUID(int=1), "", "", "", "", included_ms,
        tuple(Tier(one["up_to_ms"], Decimal(one["per_minute"])) for one in tiers),
    )  # fmt: skip
    assert cost({"included_ms": included_ms, "tiers": tiers}, ms) == rating.cost(line, ms)


def test_a_half_millionth_is_rounded_up():
    price = {"included_ms": 1000, "tiers": [{"up_to_ms": None, "per_minute": "0.03"}]}
    assert cost(price, 1000) == 0
    assert cost(price, 1001) == Decimal("0.000001")  # exactly 0.0000005
    with pytest.raises(ValueError, match="below 0"):
        cost(price, -1)


@pytest.mark.parametrize(
    ("amount", "places", "whole"),
    [
        ("1.005", 2, "1.01"),
        ("-1.005", 2, "-1.01"),
        ("1.004999", 2, "1.00"),
        ("0.5", 0, "1"),
        ("2.0005", 3, "2.001"),
    ],
)
def test_a_total_is_rounded_half_up(amount: str, places: int, whole: str) -> None:
    assert str(rounded(Decimal(amount), places)) == whole


def test_a_currency_has_the_coins_that_the_service_rounds_to() -> None:
    assert {currency: places(currency) for currency in (*money.PLACES, "USD")} == {**money.PLACES, "USD": 2}


@pytest.mark.parametrize(
    "text", ["", "1E+5", "NaN", "Infinity", "1_0", " 1", "\uff11", ".5", "9" * 21, 5, None]
)
def test_an_amount_is_digits_and_a_point(text: object) -> None:
    with pytest.raises(ValueError, match="no amount"):
        number(text)
