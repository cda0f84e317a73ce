"""Prepaid credit: bought on the provider's page, once in the ledger, and off the provider's invoices."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx

from metering import outbox
from metering.ledger.accounts import account_of
from metering.models import LedgerEntry, WebhookEvent
from metering.payments import client, deliver, portal, webhooks
from metering.payments.tests.books import NOON, change, enter
from metering.payments.tests.inbox import Inbox
from tenants.scope import tenant_scope

BACK = "https://stt.example.com/billing"
DONE = "checkout.session.completed"


def buy(household: Any, amount: str) -> str:
    url = portal.credit_url(household.tenant.id, Decimal(amount), BACK)
    httpx.post(url, data={"card": "good"})
    return url.rpartition("/")[2]


def handled() -> str:
    webhooks.handle_due(now=NOON + timedelta(minutes=1))
    return str(WebhookEvent.objects.order_by("-id")[0].outcome)


def credited(household: Any) -> list[tuple[str, Decimal]]:
    with tenant_scope(household.tenant.id):
        found = LedgerEntry.objects.filter(tenant_id=household.tenant.id, kind="credit").order_by("seq")
        return [(one.reference, one.amount) for one in found]


def grants(household: Any) -> list[int]:
    customer = account_of(household.tenant.id).customer
    found = client.connect().v1.billing.credit_grants.list({"customer": customer}).data
    return [one.amount.monetary.value for one in found if one.amount.monetary]


def test_it_is_credited_once_however_often_it_is_told(
    customers: None, inbox: Inbox, acme: Any, rival: Any
) -> None:
    name = buy(acme, "20.50")
    inbox.tell(DONE)
    assert handled() == "prepaid credit of 20.50 USD"
    WebhookEvent.objects.update(handled_at=None, next_at=NOON)
    handled()
    payment = client.connect().v1.checkout.sessions.retrieve(name).payment_intent
    assert credited(acme) == [(f"stripe:{payment}", Decimal("-20.50"))]
    assert grants(acme) == [2050]
    assert account_of(acme.tenant.id).balance == Decimal("20.50")
    assert (credited(rival), grants(rival)) == ([], [])


def test_the_providers_invoice_takes_it_off(
    customers: None, inbox: Inbox, stripe: Any, acme: Any, rival: Any
) -> None:
    buy(acme, "20.00")
    inbox.tell(DONE)
    handled()
    enter(acme, 1000, "12.340000")
    later = NOON + timedelta(hours=1, minutes=5)
    stripe.control("clock", at=later.isoformat())
    outbox.fill(now=later, force=True)
    deliver.deliver_due(now=later)
    stripe.control("clock", at="2026-12-01T02:00:00+00:00")
    (invoice,) = client.connect().v1.invoices.list({"customer": account_of(acme.tenant.id).customer}).data
    assert (invoice.subtotal, invoice.total, invoice.status) == (1234, 0, "paid")


def test_a_provider_that_was_away_grants_it_later(
    customers: None, inbox: Inbox, stripe: Any, acme: Any, rival: Any
) -> None:
    buy(acme, "20.00")
    inbox.tell(DONE)
    stripe.control("faults", kind="status", status=503, method="GET", path="/v1/billing/credit_grants")
    assert handled().startswith("waits: Stripe answered 503")
    assert (len(credited(acme)), grants(acme)) == (1, [])
    WebhookEvent.objects.update(next_at=NOON)
    handled()
    assert (len(credited(acme)), grants(acme)) == (1, [2000])


def test_what_is_of_another_customer_than_it_says_is_given_up(
    customers: None, inbox: Inbox, acme: Any, rival: Any
) -> None:
    buy(acme, "20.00")
    change(acme, customer=account_of(rival.tenant.id).customer)
    inbox.tell(DONE)
    assert "of another customer than it says" in handled()
    assert (credited(acme), credited(rival)) == ([], [])


def test_another_currency_is_left_to_a_person(customers: None, inbox: Inbox, acme: Any, rival: Any) -> None:
    buy(acme, "20.00")
    change(acme, currency="EUR")
    inbox.tell(DONE)
    assert handled().endswith("is in USD, the account in EUR: credit it by hand")


def test_money_that_the_provider_counts_in_other_coins_is_as_much(
    customers: None, inbox: Inbox, acme: Any, rival: Any
) -> None:
    change(acme, currency="ISK")
    buy(acme, "500")
    inbox.tell(DONE)
    handled()
    assert [amount for _, amount in credited(acme)] == [Decimal(-500)]
    assert grants(acme) == [50_000]


def test_a_payment_for_something_else_is_nothing_of_ours(
    customers: None, inbox: Inbox, acme: Any, rival: Any
) -> None:
    session = client.connect().v1.checkout.sessions.create(
        {
            "mode": "payment",
            "customer": account_of(acme.tenant.id).customer,
            "line_items": [
                {
                    "quantity": 1,
                    "price_data": {
                        "currency": "usd",
                        "unit_amount": 500,
                        "product_data": {"name": "A mug"},
                    },
                }
            ],
            "success_url": BACK,
            "cancel_url": BACK,
        }
    )
    httpx.post(str(session.url), data={"card": "good"})
    inbox.tell(DONE)
    assert handled() == "no prepaid credit"
    assert credited(acme) == []


def test_a_payment_method_is_set_up_without_credit(
    customers: None, inbox: Inbox, acme: Any, rival: Any
) -> None:
    httpx.post(portal.setup_url(acme.tenant.id, BACK), data={"card": "good"})
    inbox.tell(DONE)
    assert handled() == "payment method set"
    customer = client.connect().v1.customers.retrieve(account_of(acme.tenant.id).customer)
    assert customer.invoice_settings is not None
    assert customer.invoice_settings.default_payment_method


def test_a_page_that_is_not_paid_credits_nothing(
    customers: None, inbox: Inbox, acme: Any, rival: Any
) -> None:
    name = portal.credit_url(acme.tenant.id, Decimal(20), BACK).rpartition("/")[2]
    webhooks.keep({"id": "evt_early", "type": DONE, "created": 1, "data": {"object": {"id": name}}}, NOON)
    assert handled() == "not paid yet"
    assert credited(acme) == []
