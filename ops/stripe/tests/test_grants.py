from __future__ import annotations

import pytest
import stripe


def grant(client, customer, value, **more):
    return client.v1.billing.credit_grants.create(
        {
            "customer": customer,
            "amount": {"type": "monetary", "monetary": {"currency": "usd", "value": value}},
            "applicability_config": {"scope": {"price_type": "metered"}},
            "metadata": {"payment": f"pi_{value}"},
            **more,
        }
    )


def test_a_grant_is_found_by_its_customer(client, shop):
    made = grant(client, shop.acme, 100)
    assert client.v1.billing.credit_grants.retrieve(made.id).amount.monetary.value == 100
    assert [one.id for one in client.v1.billing.credit_grants.list({"customer": shop.acme}).data] == [made.id]
    assert client.v1.billing.credit_grants.list({"customer": shop.rival}).data == []


def test_it_is_taken_off_invoices_until_it_is_used_up(client, control, standing, shop, tell):
    grant(client, shop.acme, 60)
    grant(client, shop.acme, 100)
    tell(90, "a")
    control("clock", at="2026-12-01T02:00:00+00:00")
    tell(90, "b")
    control("clock", at="2027-01-01T02:00:00+00:00")
    second, first = client.v1.invoices.list({"customer": shop.acme}).data
    assert (first.subtotal, first.total, first.status) == (90, 0, "paid")
    assert (second.subtotal, second.total) == (90, 20)
    assert second.total_pretax_credit_amounts[0].amount == 70


@pytest.mark.parametrize("value", [0, -5])
def test_less_than_a_cent_is_refused(client, shop, value):
    with pytest.raises(stripe.InvalidRequestError):
        grant(client, shop.acme, value)


def test_credit_for_some_prices_only_is_not_served_here(client, shop):
    with pytest.raises(stripe.InvalidRequestError, match="all metered prices"):
        grant(client, shop.acme, 5, applicability_config={"scope": {"prices": [{"id": "price_1"}]}})
