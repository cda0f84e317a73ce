from __future__ import annotations

import logging
import smtplib
from typing import Any

import pytest
from django.core import mail
from django.db import OperationalError

from config.celery import app
from metering import notices
from metering.ledger import post, tasks
from metering.ledger.accounts import change
from metering.ledger.tests.make import account, entries, usage
from metering.recording import record


def test_a_turn_posts_all_that_waits(acme: Any, rival: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "AT_ONCE", 3)
    record(usage(household, ms, ms + 1) for household in (acme, rival) for ms in range(0, 20, 2))
    tasks.post_due.apply(throw=True)
    assert (len(entries(acme)), len(entries(rival))) == (10, 10)


@pytest.mark.parametrize("error", [OperationalError("a row is broken"), ValueError("a counter is below 0")])
def test_one_tenants_trouble_holds_up_no_other(
    acme: Any, rival: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    real = post.post_tenant

    def post_tenant(tenant_id: Any, limit: int, *, wait: bool) -> int:
        if tenant_id == acme.tenant.id:
            raise error
        return real(tenant_id, limit, wait=wait)

    monkeypatch.setattr(post, "post_tenant", post_tenant)
    record([usage(acme), usage(rival)])
    with caplog.at_level(logging.ERROR):
        tasks.post_due.apply(throw=True)
    assert (len(entries(acme)), len(entries(rival))) == (0, 1)
    assert str(acme.tenant.id) in caplog.text


def test_beat_calls_each_of_them_and_none_piles_up() -> None:
    for task, every, expires in (("metering.post", 1, 30), ("metering.turn_period", 60, 60)):
        assert app.conf.beat_schedule[task]["schedule"] == every
        assert app.conf.beat_schedule[task]["options"]["expires"] == expires
        app.loader.import_default_modules()
        assert task in app.tasks


def test_a_customer_is_told_by_mail_once_it_is_true(
    acme: Any, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    sent: list[list[str]] = []
    monkeypatch.setattr(notices.app, "send_task", lambda name, args, **_: sent.append(args))
    change(acme.tenant.id, actor=None, standing="suspended")
    with django_capture_on_commit_callbacks(execute=True):
        change(acme.tenant.id, actor=None, standing="good", email="books@acme.example")
        change(acme.tenant.id, actor=None, standing="suspended")
        assert sent == []
    ((address, subject, text),) = sent
    tasks.notify.apply((address, subject, text), throw=True)
    (letter,) = mail.outbox
    assert (letter.to, letter.subject) == (["books@acme.example"], "Acme: hold")
    assert "a payment has failed" in letter.body


def test_a_mail_server_that_is_away_is_tried_again_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*args: object) -> None:
        raise smtplib.SMTPServerDisconnected

    monkeypatch.setattr(notices, "send", away)
    outcome = tasks.notify.apply(("a@b.example", "s", "t"), retries=tasks.notify.max_retries)
    assert isinstance(outcome.result, smtplib.SMTPServerDisconnected)


def test_a_broker_that_is_away_costs_the_mail_and_nothing_else(
    acme: Any, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    def away(*args: object, **options: object) -> None:
        raise notices.OperationalError

    monkeypatch.setattr(notices.app, "send_task", away)
    with django_capture_on_commit_callbacks(execute=True):
        change(acme.tenant.id, actor=None, email="books@acme.example")
        change(acme.tenant.id, actor=None, standing="suspended")
    assert account(acme).standing == "suspended"
