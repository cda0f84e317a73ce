"""What a webhook means. Each may be handled again, late and in any order: it only says where to look."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from metering.models import MeterIntent, ProviderObject, WebhookEvent
from metering.models.outbox import IntentState
from metering.payments import client, credits, standing
from metering.payments.errors import explained
from metering.payments.summaries import LAG
from tenants.scope import staff_scope

log = logging.getLogger(__name__)

# A report names samples; others of its time may be wrong too. Our clock is not the provider's.
AROUND = timedelta(minutes=5)
MAY_BE_WRONG = (IntentState.PENDING, IntentState.SENDING, IntentState.DOUBTFUL, IntentState.DELIVERED)


def handle(event: WebhookEvent, now: datetime) -> str:
    """What was done about it, for people."""
    handler = HANDLERS.get(event.type)
    return handler(event, now) if handler else "nothing to do"


def _paid_or_not(event: WebhookEvent, now: datetime) -> str:
    account = standing.of_customer(_customer(event))
    if account is None:
        return "no customer of ours"
    return f"standing: {standing.refresh(account, now).value}"


def _checkout(event: WebhookEvent, now: datetime) -> str:
    """A page of the provider's that a customer has completed: read anew, since this may be an old picture."""
    with client.asking():
        session = client.connect().v1.checkout.sessions.retrieve(str(_about(event)["id"]))
    if session.mode == "payment":
        return credits.take(session)
    # An attribute that the answer did not have is not there at all.
    setup_intent = getattr(session, "setup_intent", None)
    return _use_method(str(setup_intent)) if setup_intent else "nothing to do"


def _use_method(setup_intent: str) -> str:
    """What the customer has set up is what invoices are paid with."""
    stripe = client.connect().v1
    with client.asking():
        setup = stripe.setup_intents.retrieve(setup_intent)
        if setup.status != "succeeded" or not setup.payment_method or not setup.customer:
            return "not set up yet"
        stripe.customers.update(
            str(setup.customer),
            {"invoice_settings": {"default_payment_method": str(setup.payment_method)}},
        )
    return "payment method set"


def _customer_gone(event: WebhookEvent, now: datetime) -> str:
    account = standing.of_customer(str(_about(event)["id"]))
    if account is None:
        return "no customer of ours"
    log.error("tenant %s: its customer was deleted at Stripe: what it uses is not sent", account.tenant_id)
    return "a customer of ours was deleted at Stripe: run manage.py stripe_sync --anew"


def _rejected(event: WebhookEvent, now: datetime) -> str:
    """Meter events were taken and then found wrong. Samples are named: those are dead. If there are more,
    all of that meter and time are in doubt, and the sums of their hours decide."""
    report = _fetched(event)
    named, counted = set(), 0
    with staff_scope():
        for kind in report["reason"]["error_types"]:
            counted += int(kind["error_count"])
            for sample in kind["sample_errors"]:
                named |= _dead(str(sample["request"]["identifier"]), str(kind["code"]), now)
        doubtful = _doubt(event, report, now) if counted > len(named) else 0
    log.error("Stripe rejected %d meter events after taking them; %d are in doubt", counted, doubtful)
    return f"{len(named)} of {counted} rejected meter events are known and dead, {doubtful} are in doubt"


def _dead(identifier: str, code: str, now: datetime) -> set[str]:
    """The request's key is the event's identifier and the number of the attempt."""
    found = MeterIntent.objects.filter(identifier=identifier.partition(":")[0]).exclude(
        state=IntentState.DROPPED.value
    )
    found.filter(state__in=[state.value for state in MAY_BE_WRONG]).update(
        state=IntentState.DEAD.value, settled_at=now, error=f"rejected later: {explained(code)}"[:300]
    )
    return set(found.values_list("identifier", flat=True))


def _doubt(event: WebhookEvent, report: dict[str, Any], now: datetime) -> int:
    start = datetime.fromisoformat(report["validation_start"]) - AROUND
    end = datetime.fromisoformat(report["validation_end"]) + AROUND
    found = MeterIntent.objects.filter(
        state=IntentState.DELIVERED.value, settled_at__range=(start, end), meter__in=_meters(event)
    )
    return found.update(state=IntentState.DOUBTFUL.value, next_at=now + LAG)


def _meters(event: WebhookEvent) -> list[str]:
    about = (event.payload.get("related_object") or {}).get("id")
    rows = ProviderObject.objects.filter(name__startswith="meter:")
    if about:
        rows = rows.filter(provider_id=about)
    return sorted({row.name.split(":")[1] for row in rows})


def _fetched(event: WebhookEvent) -> dict[str, Any]:
    """A thin event says only that there is something."""
    with client.asking():
        notification = client.connect().parse_event_notification_without_verification(
            json.dumps(event.payload)
        )
        fetched = notification.fetch_event()
    data: dict[str, Any] = json.loads(str(fetched))["data"]
    return data


def _about(event: WebhookEvent) -> dict[str, Any]:
    found: dict[str, Any] = event.payload["data"]["object"]
    return found


def _customer(event: WebhookEvent) -> str:
    customer = _about(event).get("customer")
    return customer if isinstance(customer, str) else ""


HANDLERS: dict[str, Callable[[WebhookEvent, datetime], str]] = {
    "invoice.payment_failed": _paid_or_not,
    "invoice.overdue": _paid_or_not,
    "invoice.paid": _paid_or_not,
    "invoice.payment_succeeded": _paid_or_not,
    "invoice.voided": _paid_or_not,
    "invoice.marked_uncollectible": _paid_or_not,
    "checkout.session.completed": _checkout,
    "checkout.session.async_payment_succeeded": _checkout,
    "customer.deleted": _customer_gone,
    "v1.billing.meter.error_report_triggered": _rejected,
    "v1.billing.meter.no_meter_found": _rejected,
}
