from __future__ import annotations

from decimal import Decimal

import pytest

from metering.payments import names


@pytest.mark.parametrize(
    ("currency", "price"),
    [
        ("USD", "0.0001"), ("JPY", "0.000001"), ("KWD", "0.001"), ("EUR", "0.0001"),
        # Stripe has cents of these two, and none of the third; ISO 4217 says otherwise.
        ("ISK", "0.0001"), ("UGX", "0.0001"), ("MGA", "0.000001"),
    ],
)  # fmt: skip
def test_a_million_millionths_cost_one_unit(currency: str, price: str) -> None:
    assert names.unit_price("amount", currency) == Decimal(price)


def test_milliseconds_are_shown_and_cost_nothing():
    assert names.unit_price("ms", "USD") == 0


def test_milliseconds_are_of_no_currency_but_their_price_is():
    assert names.meter_name("ms", "EUR") == names.meter_name("ms", "USD")
    assert names.lookup_key("ms", "EUR") != names.lookup_key("ms", "USD")
    assert names.event_name("amount", "EUR") == "stenogate_amount_eur"
