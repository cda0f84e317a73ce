"""Good, grace, suspended, and back: by the provider's invoices, in whatever order its webhooks come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from metering import outbox
from metering.ledger.accounts import account_of
from metering.models.accounts import Standing
from metering.payments import client, deliver, standing, webhooks
from metering.payments.errors import Ambiguous
from metering.payments.standing import next_standing
from metering.payments.tests.books import NOON, change, enter
from metering.payments.tests.inbox import Inbox
from tenants.models import AuditEntry, Tenant
from tenants.scope import tenant_scope

NOW = datetime(2026, 12, 5, 12, tzinfo=UTC)
WEEK = timedelta(days=7)
GOOD, GRACE, SUSPENDED = Standing.GOOD, Standing.GRACE, Standing.SUSPENDED


@pytest.mark.parametrize(
    ("before", "until", "owes", "after"),
    [
        (GOOD, None, False, (GOOD, None)),
        (GOOD, None, True, (GRACE, NOW + WEEK)),
        (GRACE, NOW + timedelta(days=1), True, (GRACE, NOW + timedelta(days=1))),
        (GRACE, NOW, True, (SUSPENDED, NOW)),
        (GRACE, NOW - WEEK, False, (GOOD, None)),
        (SUSPENDED, NOW - WEEK, True, (SUSPENDED, NOW - WEEK)),
        (SUSPENDED, NOW - WEEK, False, (GOOD, None)),
    ],
)
def test_what_follows_is_a_matter_of_owing_and_time(before, until, owes, after):
    assert next_standing(before, until, owes, NOW, WEEK) == after


def test_without_grace_it_is_suspended_at_once():
    assert next_standing(GOOD, None, True, NOW, timedelta(0)) == (SUSPENDED, NOW)


@pytest.fixture
def unpaid(customers: None, inbox: Inbox, stripe: Any, acme: Any, rival: Any) -> str:
    """Acme's invoice of November, which its card does not pay; Rival's is paid."""
    for household in (acme, rival):
        enter(household, 1000, "12.340000")
    stripe.control("payments", customer=account_of(rival.tenant.id).customer, outcome="succeed")
    stripe.control("payments", customer=account_of(acme.tenant.id).customer, outcome="fail")
    later = NOON + timedelta(hours=1, minutes=5)
    stripe.control("clock", at=later.isoformat())
    outbox.fill(now=later)
    assert deliver.deliver_due(now=later) == 4
    stripe.control("clock", at="2026-12-01T00:00:10+00:00")
    stripe.control("clock", at=NOW.isoformat())
    invoices = client.connect().v1.invoices.list({"customer": account_of(acme.tenant.id).customer}).data
    return str(invoices[0].id)


def of(household: Any) -> str:
    return account_of(household.tenant.id).standing


def hold(household: Any) -> str:
    return Tenant.objects.get(id=household.tenant.id).hold


def test_a_payment_that_fails_leads_to_grace_and_then_to_suspension_and_paying_restores(
    unpaid: str, inbox: Inbox, stripe: Any, acme: Any, rival: Any
) -> None:
    inbox.tell("invoice.payment_failed", "invoice.paid")
    webhooks.handle_due(now=NOW)
    assert (of(acme), of(rival)) == ("grace", "good")
    assert account_of(acme.tenant.id).grace_until == NOW + WEEK
    with tenant_scope(acme.tenant.id):
        assert hold(acme) == ""
    assert standing.refresh_all(NOW + timedelta(days=6)) == 1
    assert of(acme) == "grace"
    standing.refresh_all(NOW + WEEK)
    assert of(acme) == "suspended"
    with tenant_scope(acme.tenant.id):
        assert hold(acme) == "payment"
    stripe.control("payments", customer=account_of(acme.tenant.id).customer, outcome="succeed")
    client.connect().v1.invoices.pay(unpaid)
    inbox.waited_for("invoice.paid", 2)
    inbox.tell("invoice.paid")
    webhooks.handle_due(now=NOW + WEEK + timedelta(minutes=5))
    assert (of(acme), account_of(acme.tenant.id).grace_until) == ("good", None)
    with tenant_scope(acme.tenant.id):
        assert hold(acme) == ""
        changes = AuditEntry.objects.filter(action="billing.standing_changed").order_by("id")
        assert [one.details["after"] for one in changes] == ["grace", "suspended", "good"]


def test_a_failure_that_is_told_after_the_payment_changes_nothing(
    unpaid: str, inbox: Inbox, stripe: Any, acme: Any
) -> None:
    stripe.control("payments", customer=account_of(acme.tenant.id).customer, outcome="succeed")
    client.connect().v1.invoices.pay(unpaid)
    inbox.waited_for("invoice.paid", 2)
    inbox.tell("invoice.paid", "invoice.payment_failed")
    webhooks.handle_due(now=NOW)
    assert of(acme) == "good"


def test_a_payment_of_which_no_webhook_tells_restores_all_the_same(
    unpaid: str, inbox: Inbox, stripe: Any, acme: Any
) -> None:
    inbox.tell("invoice.payment_failed")
    webhooks.handle_due(now=NOW)
    standing.refresh_all(NOW + WEEK)
    client.connect().v1.invoices.void_invoice(unpaid)
    standing.refresh_all(NOW + WEEK)
    assert of(acme) == "good"


def test_while_the_provider_is_away_nobody_is_suspended(
    unpaid: str, inbox: Inbox, stripe: Any, acme: Any
) -> None:
    inbox.tell("invoice.payment_failed")
    webhooks.handle_due(now=NOW)
    stripe.control("down")
    assert standing.refresh_all(NOW + WEEK) == 0
    assert of(acme) == "grace"
    stripe.control("up")


def test_one_of_whom_the_provider_cannot_tell_keeps_nobody_else_out(
    customers: None, acme: Any, rival: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    owes = standing._owes

    def broken(customer: str, now: datetime) -> bool:
        if customer == account_of(acme.tenant.id).customer:
            raise Ambiguous("Stripe answered 500")
        return owes(customer, now)

    monkeypatch.setattr(standing, "_owes", broken)
    for household in (acme, rival):
        change(household, standing="grace", grace_until=NOW + WEEK)
    assert standing.refresh_all(NOW) == 1
    assert (of(acme), of(rival)) == ("grace", "good")


def test_an_invoice_of_a_stranger_is_nobodys(
    unpaid: str, inbox: Inbox, stripe: Any, acme: Any, rival: Any
) -> None:
    webhooks.keep(
        {
            "id": "evt_x",
            "type": "invoice.payment_failed",
            "created": 1,
            "data": {"object": {"customer": "cus_nobody"}},
        },
        NOW,
    )
    assert webhooks.handle_due(now=NOW) == 1
    assert {of(acme), of(rival)} == {"good"}


def test_the_providers_invoice_is_the_ledgers_to_the_cent(unpaid: str, stripe: Any) -> None:
    assert client.connect().v1.invoices.retrieve(unpaid).total == 1234
