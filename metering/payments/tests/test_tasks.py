"""What beat sends."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from config.celery import app
from metering.payments import deliver, locks, sync, tasks, webhooks
from metering.payments.tests.books import change, enter, intents

TASKS = {
    "metering.fill_outbox": tasks.fill_outbox,
    "metering.deliver": tasks.deliver_due,
    "metering.settle": tasks.settle_due,
    "metering.handle_webhooks": tasks.handle_webhooks,
    "metering.end_grace": tasks.end_grace,
}


@pytest.mark.parametrize("name", TASKS)
def test_each_is_sent_and_forgotten_when_the_next_one_comes(name: str) -> None:
    entry = app.conf.beat_schedule[name]
    assert entry["task"] == TASKS[name].name == name
    assert entry["options"]["expires"] == entry["schedule"]


def test_whoever_calls_stripe_holds_up_nothing_that_is_billed() -> None:
    calling = set(TASKS) - {"metering.fill_outbox"}
    assert {
        name for name, route in settings.CELERY_TASK_ROUTES.items() if route["queue"] == "payments"
    } == calling


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_without_a_key_none_does_anything(task: Any, acme: Any) -> None:
    change(acme, customer="cus_acme", standing="grace", grace_until=timezone.now() - timedelta(days=1))
    enter(acme)
    task()
    assert intents(acme) == []


def test_usage_reaches_the_provider_by_tasks_alone(stripe: Any, acme: Any, rival: Any) -> None:
    stripe.control("clock", real=True)
    sync.Sync().tenants([acme.tenant, rival.tenant])
    before = timezone.now() - timedelta(hours=2)
    enter(acme, processed_at=before, period=before.date().replace(day=1))
    tasks.fill_outbox()
    tasks.deliver_due()
    tasks.settle_due()
    tasks.handle_webhooks()
    tasks.end_grace()
    assert {one.state for one in intents(acme)} == {"delivered"}
    assert len(stripe.control("received")["events"]) == 2


def test_a_stripe_that_does_not_answer_takes_few_threads(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    monkeypatch.setattr(deliver, "deliver_due", lambda: ran.append("deliver"))
    monkeypatch.setattr(webhooks, "handle_due", lambda: ran.append("webhooks"))
    busy = connection.copy()
    try:
        with busy.cursor() as cursor:
            for name in ("deliver 4", "deliver 3", "deliver 2", "webhooks 1"):
                cursor.execute("SELECT pg_advisory_lock(%s, hashtext(%s))", [locks.RUNNING, name])
            tasks.deliver_due()
            tasks.handle_webhooks()
            assert ran == ["deliver"]  # the fourth
            cursor.execute("SELECT pg_advisory_lock(%s, hashtext(%s))", [locks.RUNNING, "deliver 1"])
            tasks.deliver_due()
            assert ran == ["deliver"]
            # To close it would let go too, but only when the server comes to it.
            cursor.execute("SELECT pg_advisory_unlock_all()")
    finally:
        busy.close()
    tasks.deliver_due()
    tasks.handle_webhooks()
    assert ran == ["deliver", "deliver", "webhooks"]


@pytest.mark.parametrize("file", ["docker-compose.yml", "ops/local/stack.py"])
def test_somebody_serves_their_queue(file: str) -> None:
    assert "callbacks,payments" in (settings.BASE_DIR / file).read_text()
