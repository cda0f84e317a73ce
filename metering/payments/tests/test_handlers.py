"""What the provider finds wrong later, and customers who are gone; with its own webhooks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from metering import outbox
from metering.ledger.accounts import account_of
from metering.models import WebhookEvent
from metering.payments import client, deliver, settle, webhooks
from metering.payments.summaries import LAG
from metering.payments.tests.books import NOON, enter, intents, states
from metering.payments.tests.inbox import Inbox

NEXT = NOON + timedelta(hours=1, minutes=5)
REPORT = "v1.billing.meter.error_report_triggered"
DELIVERED = {"ms 1000": "delivered", "amount 100": "delivered"}


@pytest.fixture
def filled(customers: None, inbox: Inbox, stripe: Any, acme: Any, rival: Any) -> None:
    enter(acme, 1000, "0.000100")
    enter(rival, 5000, "0.000000")
    outbox.fill(now=NEXT)
    stripe.control("clock", at=NEXT.isoformat())


def deliver_to_be_rejected(stripe: Any, times: int, **more: Any) -> int:
    """What is found wrong is found after all have come: else there might be a report for some of them."""
    stripe.control("lag", seconds=60)
    stripe.control("reject", times=times, **more)
    delivered = deliver.deliver_due(now=NEXT)
    stripe.control("clock", at=(NEXT + timedelta(minutes=1)).isoformat())
    return delivered


def handled() -> list[str]:
    webhooks.handle_due(now=NEXT + timedelta(minutes=2))
    return list(WebhookEvent.objects.order_by("id").values_list("outcome", flat=True))


def test_what_is_rejected_later_is_dead_and_says_why(
    filled: None, inbox: Inbox, stripe: Any, acme: Any, rival: Any
) -> None:
    assert deliver_to_be_rejected(stripe, 3, code="meter_event_customer_not_found") == 3
    assert states(acme) == DELIVERED
    inbox.waited_for(REPORT, 2)  # one a meter
    inbox.tell(REPORT)
    assert all("are known and dead, 0 are in doubt" in outcome for outcome in handled())
    assert set((states(acme) | states(rival)).values()) == {"dead"}
    assert "rejected later: meter_event_customer_not_found: Stripe does not know" in intents(acme)[0].error


def test_more_rejections_than_samples_put_all_of_that_time_in_doubt_until_the_sums_tell(
    customers: None, inbox: Inbox, stripe: Any, acme: Any, rival: Any
) -> None:
    for n in range(14):  # each in an hour of its own; the provider names ten
        enter(acme, 1000 + n, "0.000000", processed_at=NOON - timedelta(hours=n), at=NOON)
    enter(rival, 7000, "0.000000")
    outbox.fill(now=NEXT)
    stripe.control("clock", at=NEXT.isoformat())
    assert deliver_to_be_rejected(stripe, 12) == 15
    inbox.tell(REPORT)
    handled()
    rejected = {
        one["identifier"] for one in stripe.control("received")["events"] if one["state"] == "rejected"
    }
    assert len(rejected) == 12
    settle.settle_due(now=NEXT + timedelta(minutes=2) + LAG)
    found = {one.identifier: one.state for one in intents(acme) + intents(rival)}
    assert [found[name] for name in rejected].count("dead") == 10
    assert [found[name] for name in rejected].count("dropped") == 2
    replaced = [name for name, state in found.items() if state == "pending"]
    assert sorted(name.removesuffix("-r1") for name in replaced) == sorted(
        name for name in rejected if found[name] == "dropped"
    )
    sure = [name for name, state in found.items() if state == "delivered"]
    assert len(sure) == 3
    assert not rejected & set(sure)


def test_an_event_of_no_meter_is_dead(filled: None, inbox: Inbox, stripe: Any, acme: Any, rival: Any) -> None:
    deliver_to_be_rejected(stripe, 1, code="no_meter")
    inbox.tell(REPORT)
    handled()
    assert list((states(acme) | states(rival)).values()).count("dead") == 1


def test_the_same_report_twice_does_no_more(
    filled: None, inbox: Inbox, stripe: Any, acme: Any, rival: Any
) -> None:
    deliver_to_be_rejected(stripe, 1)
    inbox.tell(REPORT)
    handled()
    before = states(acme) | states(rival)
    WebhookEvent.objects.update(handled_at=None, next_at=NEXT)
    handled()
    assert set(WebhookEvent.objects.values_list("attempts", flat=True)) == {2}
    assert states(acme) | states(rival) == before


def test_a_customer_that_is_gone_is_said_to_be(
    filled: None, inbox: Inbox, stripe: Any, acme: Any, caplog: pytest.LogCaptureFixture
) -> None:
    client.connect().v1.customers.delete(account_of(acme.tenant.id).customer)
    inbox.tell("customer.deleted")
    assert handled() == ["a customer of ours was deleted at Stripe: run manage.py stripe_sync --anew"]
    assert str(acme.tenant.id) in caplog.text
