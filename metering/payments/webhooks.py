"""`POST /webhooks/stripe`: checked, kept, answered. A task handles it, once, in its own time."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

import stripe
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from config import env
from metering.models import WebhookEvent
from metering.payments import client, handlers, retries
from metering.payments.errors import PaymentsError, Permanent

log = logging.getLogger(__name__)

MAX_BYTES = 512 * 1024
TOLERANCE_S = 300  # by the time in the signature, which nobody else can set
MAX_ATTEMPTS = 120  # with pauses of a quarter of an hour more than a day


@csrf_exempt  # the signature says who it is
@require_POST
def receive(request: HttpRequest) -> HttpResponse:
    secrets = [secret for secret in (env.STRIPE_WEBHOOK_SECRET.read() or "").split(",") if secret.strip()]
    if not secrets:
        return _said(404, "no STRIPE_WEBHOOK_SECRET is set: webhooks are not taken")
    try:
        length = int(request.headers.get("Content-Length") or 0)
    except ValueError:
        length = MAX_BYTES + 1
    if length > MAX_BYTES or len(request.body) > MAX_BYTES:
        return _said(413, f"a webhook has at most {MAX_BYTES} bytes")
    if not _is_signed(request.body, request.headers.get("Stripe-Signature", ""), secrets):
        log.warning("a webhook without a valid signature, or too old, was refused")
        return _said(400, "the signature is not of STRIPE_WEBHOOK_SECRET, or too old")
    try:
        keep(json.loads(request.body))
    except (ValueError, KeyError, TypeError):
        return _said(400, "this is no event of Stripe's")
    return _said(200, "kept")


def keep(payload: dict[str, Any], now: datetime | None = None) -> bool:
    """True if it is new. It is the provider's id that makes it one and the same."""
    created = payload["created"]  # a v1 event says seconds, a thin one ISO 8601
    at = datetime.fromtimestamp(created, UTC) if isinstance(created, int) else datetime.fromisoformat(created)
    _, new = WebhookEvent.objects.get_or_create(
        provider_id=str(payload["id"])[:255],
        defaults={
            "type": str(payload["type"])[:100],
            "created": at,
            "payload": payload,
            "next_at": now or timezone.now(),
        },
    )
    return new


def handle_due(limit: int = 200, *, now: datetime | None = None) -> int:
    """Handle what has come, the oldest by the provider's clock first; how many were."""
    if not client.configured():
        return 0
    handled = 0
    for _ in range(limit):
        event = _claimed(now or timezone.now())
        if event is None:
            break
        if not _handle(event, now or timezone.now()):
            break  # if Stripe is away, the others wait for the next run rather than for each its time
        handled += 1
    return handled


def _claimed(now: datetime) -> WebhookEvent | None:
    with transaction.atomic():
        due = WebhookEvent.objects.filter(handled_at__isnull=True, next_at__lte=now)
        event = due.order_by("created", "id").select_for_update(skip_locked=True).first()
        if event is not None:
            event.attempts += 1
            event.next_at = now + retries.LEASE
            event.save(update_fields=["attempts", "next_at"])
        return event


def _handle(event: WebhookEvent, now: datetime) -> bool:
    if event.attempts > MAX_ATTEMPTS:
        return _again(event, "whoever handled it died of it", now)
    try:
        event.outcome = handlers.handle(event, now)[:300]
    except Permanent as error:
        _give_up(event, str(error))
    except PaymentsError as error:
        return _again(event, str(error), now)
    except Exception as error:
        # Of an error that we do not know only the kind is told: its text may hold what was in the webhook.
        return _again(event, type(error).__name__, now)
    event.handled_at = now
    event.save(update_fields=["handled_at", "outcome"])
    return True


def _again(event: WebhookEvent, why: str, now: datetime) -> bool:
    if event.attempts >= MAX_ATTEMPTS:
        _give_up(event, why)
        event.handled_at = now
    else:
        log.warning("webhook %s (%s) is handled again later: %s", event.provider_id, event.type, why)
        event.outcome, event.next_at = f"waits: {why}"[:300], now + retries.pause(event.attempts)
    event.save(update_fields=["handled_at", "outcome", "next_at"])
    return event.handled_at is not None


def _give_up(event: WebhookEvent, why: str) -> None:
    event.outcome = f"{GIVEN_UP}: {why}"[:300]
    log.error("webhook %s (%s) was given up: %s", event.provider_id, event.type, why)


GIVEN_UP = "given up"


def _is_signed(body: bytes, signature: str, secrets: list[str]) -> bool:
    if not signature.isascii():  # the library cannot compare it
        return False
    for secret in secrets:
        try:
            if stripe.WebhookSignature.verify_header(body, signature, secret.strip(), TOLERANCE_S):
                return True
        except (stripe.SignatureVerificationError, UnicodeDecodeError):
            continue  # it holds what was sent: it goes no further
    return False


def _said(status: int, text: str) -> HttpResponse:
    return HttpResponse(f"{text}\n", status=status, content_type="text/plain; charset=utf-8")
