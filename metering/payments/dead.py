"""Dead letters: meter events that will not be taken, and webhooks that could not be handled. A person looks,
and says again or lets go; of meter events, both are in the tenant's audit log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.db.models import QuerySet
from django.utils import timezone

from metering import outbox
from metering.models import Account, MeterIntent, WebhookEvent
from metering.models.outbox import IntentState
from metering.payments import retries, settle, webhooks
from metering.payments.errors import PaymentsError
from tenants.scope import staff_scope, tenant_scope
from tenants.services.audit import Actor, record


class Reconciled(PaymentsError):
    """Reconciliation has sent what Stripe lacked of that day, this one with it: drop it instead."""

    code = "payments_reconciled"


class SaidAgain(PaymentsError):
    """It stands for meter events of its day that were said again since: drop it. What Stripe then lacks, the
    next reconciliation says."""

    code = "payments_said_again"


def intents() -> list[MeterIntent]:
    with staff_scope():
        dead = MeterIntent.objects.filter(state=IntentState.DEAD.value).select_related("tenant")
        return list(dead.order_by("tenant_id", "id"))


def given_up() -> QuerySet[WebhookEvent]:
    return WebhookEvent.objects.filter(outcome__startswith=webhooks.GIVEN_UP).order_by("id")


def retry(intent: MeterIntent, *, actor: Actor = None, now: datetime | None = None) -> MeterIntent | None:
    """Another intent with an identifier of its own stands for it: the provider may remember the old one. It
    goes to the customer that the tenant is now. None: somebody else was quicker."""
    now = now or timezone.now()
    with tenant_scope(intent.tenant_id):
        account = Account.objects.get(tenant_id=intent.tenant_id)
        if _reconciled(intent):
            raise Reconciled()
        if _said_again(intent):
            raise SaidAgain()
        if not _taken(intent, now):
            return None
        values = {**settle.replaced(intent, now), "customer": account.customer or intent.customer}
        made = MeterIntent.objects.create(identifier=retries.replacement(intent.identifier), **values)
        _told(actor, account, "billing.intent_retried", intent, by=made.identifier)
    return made


def drop(intent: MeterIntent, reason: str, *, actor: Actor = None, now: datetime | None = None) -> bool:
    """The provider is never told. The ledger stays as it is, and so does our invoice."""
    with tenant_scope(intent.tenant_id):
        error = outbox.SENT_OTHERWISE if _reconciled(intent) else intent.error
        if not _taken(intent, now or timezone.now(), error):
            return False
        account = Account.objects.get(tenant_id=intent.tenant_id)
        _told(actor, account, "billing.intent_dropped", intent, reason=reason)
    return True


def handle_again(event: WebhookEvent, now: datetime | None = None) -> None:
    WebhookEvent.objects.filter(id=event.id).update(
        handled_at=None, outcome="", attempts=0, next_at=now or timezone.now()
    )


def _reconciled(intent: MeterIntent) -> bool:
    """What the provider lacked of that day was sent by reconciliation after this one had died."""
    day = f"{outbox.RECONCILED}{intent.tenant_id.hex}-{intent.meter}-{intent.timestamp:%Y%m%d}-"
    since = intent.settled_at or intent.created_at
    sent = MeterIntent.objects.filter(identifier__startswith=day, created_at__gte=since)
    return sent.exclude(state__in=[IntentState.DEAD.value, IntentState.DROPPED.value]).exists()


def _said_again(intent: MeterIntent) -> bool:
    """Of what reconciliation has sent: an event that it stands for was said again after that."""
    if not intent.identifier.startswith(outbox.RECONCILED):
        return False
    start = intent.timestamp.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    again = MeterIntent.objects.filter(
        tenant_id=intent.tenant_id, meter=intent.meter, timestamp__gte=start,
        timestamp__lt=start + timedelta(days=1), created_at__gte=intent.created_at,
        identifier__regex=r"-r[0-9]+$",
    )  # fmt: skip
    return again.exclude(identifier__startswith=outbox.RECONCILED).exclude(outbox.GONE).exists()


def _taken(intent: MeterIntent, now: datetime, error: str | None = None) -> bool:
    """Only one of two who try wins."""
    dead = MeterIntent.objects.filter(id=intent.id, state=IntentState.DEAD.value)
    error = intent.error if error is None else error
    return bool(dead.update(state=IntentState.DROPPED.value, settled_at=now, error=error))


def _told(actor: Actor, account: Account, action: str, intent: MeterIntent, **more: str) -> None:
    record(
        actor,
        account.tenant_id,
        action,
        account.id,
        identifier=intent.identifier,
        meter=intent.meter,
        value=intent.value,
        **more,
    )
