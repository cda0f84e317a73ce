"""Webhooks: checked, kept once, answered, handled by a task; with the provider's own signature."""

from __future__ import annotations

import json
import logging
import time
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from metering.models import WebhookEvent
from metering.payments import handlers, webhooks
from metering.payments.errors import Permanent, Transient
from ops.stripe.webhooks import signature

URL = "/webhooks/stripe"


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch, db: None) -> None:
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET", "whsec_one, whsec_two")
    monkeypatch.setenv("STRIPE_API_KEY", "sk_test_unused")
    monkeypatch.setenv("STRIPE_API_BASE", "http://127.0.0.1:1")


def event(name: str = "evt_1", **changes: Any) -> bytes:
    about = {
        "id": name,
        "type": "ping",
        "created": 1_795_176_000,
        "data": {"object": {"email": "a@b.example"}},
    }
    return json.dumps(about | changes).encode()


def post(body: bytes, secret: str = "whsec_one", at: float | None = None, **headers: Any) -> Any:
    signed = signature(body, secret, int(at or time.time()))
    return Client().post(URL, body, "application/json", headers={"Stripe-Signature": signed} | headers)


def test_it_is_kept_once_and_answered(caplog: pytest.LogCaptureFixture) -> None:
    assert [post(event()).status_code for _ in range(2)] == [200, 200]
    assert post(event("evt_2"), "whsec_two").status_code == 200
    kept = WebhookEvent.objects.order_by("id")
    assert [(one.provider_id, one.handled_at) for one in kept] == [("evt_1", None), ("evt_2", None)]
    assert kept[0].created.isoformat() == "2026-11-20T12:00:00+00:00"
    assert "a@b.example" not in caplog.text


def test_a_thin_event_has_its_time_in_words() -> None:
    assert post(event(created="2026-11-20T12:00:00.000Z")).status_code == 200
    assert WebhookEvent.objects.get().created.isoformat() == "2026-11-20T12:00:00+00:00"


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (lambda: post(event(), "whsec_of_somebody_else"), 400),
        (lambda: post(event(), at=time.time() - webhooks.TOLERANCE_S - 10), 400),
        (lambda: post(event(), **{"Stripe-Signature": "nonsense"}), 400),
        (lambda: post(event(), **{"Stripe-Signature": ""}), 400),
        (lambda: post(event(), **{"Stripe-Signature": "t=1,v1=\u00e9"}), 400),
        (lambda: post(b"\xff\xfe"), 400),
        (lambda: post(b"[]"), 400),
        (lambda: post(b'{"id": "evt_1"}'), 400),
        (lambda: post(event(created="yesterday")), 400),
        (lambda: post(event(more="x" * webhooks.MAX_BYTES)), 413),
        (lambda: Client().get(URL), 405),
    ],
    ids=["signature", "old", "nonsense", "none", "letters", "bytes", "list", "part", "time", "large", "get"],
)
def test_anything_else_is_refused_and_not_kept(
    answer: Any, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        assert answer().status_code == status
    assert not WebhookEvent.objects.exists()
    assert "a@b.example" not in caplog.text


def test_what_was_changed_on_the_way_is_refused() -> None:
    signed = signature(event(), "whsec_one", int(time.time()))
    answer = Client().post(
        URL, event(type="invoice.paid"), "application/json", headers={"Stripe-Signature": signed}
    )
    assert answer.status_code == 400


def test_without_a_secret_there_is_no_such_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STRIPE_WEBHOOK_SECRET")
    assert post(event()).status_code == 404


def test_each_is_handled_once_in_the_order_of_the_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setitem(handlers.HANDLERS, "ping", lambda one, now: seen.append(one.provider_id) or "heard")
    for name, created in (("late", 300), ("early", 100), ("early", 100), ("other", 200)):
        post(event(name, created=created))
    assert webhooks.handle_due() == 3
    assert webhooks.handle_due() == 0
    assert seen == ["early", "other", "late"]
    assert set(WebhookEvent.objects.values_list("outcome", flat=True)) == {"heard"}


def test_what_nobody_cares_for_is_done_with() -> None:
    post(event())
    assert webhooks.handle_due() == 1
    assert WebhookEvent.objects.get().outcome == "nothing to do"


def test_what_failed_is_handled_again_and_given_up_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(one: WebhookEvent, now: object) -> str:
        raise Transient("Stripe is away")  # it ends the run; the others wait for the next one

    monkeypatch.setitem(handlers.HANDLERS, "ping", away)
    monkeypatch.setattr(webhooks, "MAX_ATTEMPTS", 12)
    post(event())
    now = timezone.now()
    assert webhooks.handle_due(now=now) == 0
    assert webhooks.handle_due(now=now) == 0
    assert WebhookEvent.objects.get().attempts == 1
    for _ in range(webhooks.MAX_ATTEMPTS):
        now += timedelta(minutes=15)
        webhooks.handle_due(now=now)
    last = WebhookEvent.objects.get()
    assert (last.attempts, last.outcome) == (webhooks.MAX_ATTEMPTS, "given up: Stripe is away")
    assert last.handled_at is not None


def test_of_what_kills_whoever_handles_it_there_is_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setitem(handlers.HANDLERS, "ping", lambda one, now: seen.append(one.provider_id) or "heard")
    post(event())
    WebhookEvent.objects.update(attempts=webhooks.MAX_ATTEMPTS)
    assert webhooks.handle_due() == 1
    assert not seen
    assert WebhookEvent.objects.get().outcome == "given up: whoever handled it died of it"


def test_what_cannot_be_is_given_up_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(one: WebhookEvent, now: object) -> str:
        raise Permanent("it is of nobody")

    monkeypatch.setitem(handlers.HANDLERS, "ping", never)
    post(event())
    assert webhooks.handle_due() == 1
    assert WebhookEvent.objects.get().outcome == "given up: it is of nobody"


def test_of_a_mistake_of_ours_only_the_kind_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def mistaken(one: WebhookEvent, now: object) -> str:
        raise RuntimeError("a@b.example")

    monkeypatch.setitem(handlers.HANDLERS, "ping", mistaken)
    post(event())
    assert webhooks.handle_due() == 0
    assert WebhookEvent.objects.get().outcome == "waits: RuntimeError"
    assert "a@b.example" not in caplog.text
