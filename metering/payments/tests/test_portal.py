"""Links to the provider's pages, for a tenant that may not even be a customer yet."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from metering.ledger.accounts import account_of
from metering.payments import client, names, portal
from metering.payments.portal import AmountRefused, NoReturnUrl
from metering.payments.tests.books import change

BACK = "https://stt.example.com/billing"


def session(url: str) -> Any:
    return client.connect().v1.checkout.sessions.retrieve(url.rpartition("/")[2])


def test_a_tenant_becomes_a_customer_by_asking(stripe: Any, acme: Any, rival: Any) -> None:
    assert portal.portal_url(acme.tenant.id, BACK).startswith(stripe.url)
    assert account_of(acme.tenant.id).customer.startswith("cus_")
    assert account_of(rival.tenant.id).customer == ""


def test_a_payment_method_is_set_up_for_that_customer(customers: None, acme: Any, rival: Any) -> None:
    found = session(portal.setup_url(acme.tenant.id, BACK))
    assert (found.mode, found.customer) == ("setup", account_of(acme.tenant.id).customer)
    assert (found.success_url, found.cancel_url) == (BACK, BACK)


def test_credit_is_bought_for_that_customer(customers: None, acme: Any, rival: Any) -> None:
    found = session(portal.credit_url(acme.tenant.id, Decimal("20.50"), BACK))
    assert (found.mode, found.customer) == ("payment", account_of(acme.tenant.id).customer)
    assert (found.amount_total, found.currency) == (2050, "usd")
    assert client.noted(found.metadata, names.CREDIT) == acme.tenant.id.hex


def test_other_amounts_are_refused(customers: None, acme: Any) -> None:
    for amount in ("0", "-5", "0.99", "1.005", "100001"):
        with pytest.raises(AmountRefused, match="from 1 to 100000"):
            portal.credit_url(acme.tenant.id, Decimal(amount), BACK)


def test_a_currency_without_cents_takes_none(stripe: Any, acme: Any) -> None:
    change(acme, currency="JPY")
    assert session(portal.credit_url(acme.tenant.id, Decimal(500), BACK)).amount_total == 500
    with pytest.raises(AmountRefused):
        portal.credit_url(acme.tenant.id, Decimal("500.5"), BACK)


def test_whole_coins_are_ours_and_the_count_is_the_providers(stripe: Any, acme: Any) -> None:
    change(acme, currency="ISK")
    assert session(portal.credit_url(acme.tenant.id, Decimal(500), BACK)).amount_total == 50_000
    with pytest.raises(AmountRefused):
        portal.credit_url(acme.tenant.id, Decimal("500.5"), BACK)


def test_it_needs_somewhere_to_come_back_to(
    customers: None, acme: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NoReturnUrl, match="PUBLIC_URL"):
        portal.portal_url(acme.tenant.id)
    monkeypatch.setenv("PUBLIC_URL", BACK)
    assert portal.portal_url(acme.tenant.id)
