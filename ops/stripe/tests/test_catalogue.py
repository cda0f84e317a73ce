import pytest
import stripe


@pytest.fixture
def product(client):
    return client.v1.products.create({"name": "Audio"}).id


def test_a_lookup_key_is_of_one_price_and_can_be_handed_on(client, product):
    given = {"product": product, "currency": "usd", "unit_amount": 5, "lookup_key": "audio"}
    first = client.v1.prices.create(given)
    with pytest.raises(stripe.InvalidRequestError, match="already uses that lookup key"):
        client.v1.prices.create(given)
    second = client.v1.prices.create({**given, "transfer_lookup_key": True})
    assert [one.id for one in client.v1.prices.list({"lookup_keys": ["audio"]}).data] == [second.id]
    assert client.v1.prices.retrieve(first.id).lookup_key is None


@pytest.mark.parametrize(
    ("amount", "whole", "decimal"),
    [("0.000000000001", None, "0.000000000001"), ("12.50", None, "12.5"), ("100", 100, "100"), ("0", 0, "0")],
)
def test_amounts_are_decimals(client, product, amount, whole, decimal):
    made = client.v1.prices.create({"product": product, "currency": "usd", "unit_amount_decimal": amount})
    assert made.unit_amount == whole
    assert format(made.unit_amount_decimal, "f") == decimal


@pytest.mark.parametrize(
    "change",
    [
        {"unit_amount_decimal": "0.0000000000001"},
        {"unit_amount_decimal": "much"},
        {"unit_amount_decimal": "NaN"},
        {"unit_amount": 1, "unit_amount_decimal": "1"},
        {"product": "prod_of_nobody", "unit_amount": 1},
    ],
)
def test_a_price_that_is_none_is_refused(client, product, change):
    given = {"product": product, "currency": "usd", **change}
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.prices.create(given)


def test_what_a_price_costs_never_changes(client, product):
    made = client.v1.prices.create({"product": product, "currency": "usd", "unit_amount": 5})
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.prices.update(made.id, {"unit_amount": 6})
    assert not client.v1.prices.update(made.id, {"active": False}).active
    assert client.v1.prices.list({"active": True}).data == []


def test_a_product_is_renamed_and_put_away(client, product):
    assert client.v1.products.update(product, {"name": "Speech", "active": False}).name == "Speech"
    assert client.v1.products.list({"active": True}).data == []
    assert client.v1.products.retrieve(product).name == "Speech"
