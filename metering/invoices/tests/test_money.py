from __future__ import annotations

from decimal import Decimal

import pytest

from metering.invoices.money import coins, exact, minutes, places, readable


@pytest.mark.parametrize(
    ("amount", "currency", "rounded"),
    [
        ("0.005", "USD", "0.01"), ("0.004999", "USD", "0.00"), ("-0.005", "USD", "-0.01"),
        ("0.5", "JPY", "1"), ("1.4999", "JPY", "1"), ("0.0005", "KWD", "0.001"), ("2.675", "EUR", "2.68"),
    ],
)  # fmt: skip
def test_half_a_coin_is_rounded_up(amount: str, currency: str, rounded: str) -> None:
    assert str(coins(Decimal(amount), currency)) == rounded


def test_currencies_have_their_coins() -> None:
    assert [places(one) for one in ("USD", "JPY", "KWD", "CLF", "XYZ")] == [2, 0, 3, 4, 2]


def test_an_amount_has_six_places() -> None:
    assert [exact(Decimal(one)) for one in ("1", "0.1234560", "-0.000000")] == [
        "1.000000",
        "0.123456",
        "0.000000",
    ]
    with pytest.raises(ValueError, match="finer than a millionth"):
        exact(Decimal("0.0000001"))


def test_minutes_have_three_places() -> None:
    assert [minutes(one) for one in (0, 1, 29, 30, 60_000, -61_000)] == [
        "0.000", "0.000", "0.000", "0.001", "1.000", "-1.017",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("amount", "least", "shown"),
    [
        ("1234567.500000", 2, "1,234,567.50"),
        ("0.000001", 2, "0.000001"),
        ("-5", 0, "\N{MINUS SIGN}5"),
        ("1E+3", 2, "1,000.00"),
    ],
)
def test_an_amount_is_readable(amount: str, least: int, shown: str) -> None:
    assert readable(amount, least) == shown
