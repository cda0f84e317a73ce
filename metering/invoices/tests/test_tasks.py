"""Invoices become final by themselves, and are sent."""

from __future__ import annotations

from typing import Any

import pytest
from django.core import mail

from metering.invoices import tasks
from metering.invoices.tests.month import plan, put_on, settle, use, utc
from metering.models import Invoice
from tenants.scope import staff_scope


@pytest.fixture
def _used(acme: Any, rival: Any, clock: Any, settings: Any) -> None:
    settings.CELERY_TASK_ALWAYS_EAGER = True
    both = plan("both")
    for who in (acme, rival):
        put_on(who, both)
        use(who, utc(2024, 1, 10), f"of-{who.tenant.slug}")


@pytest.mark.usefixtures("_used")
def test_what_is_due_becomes_final_once_and_is_sent_to_whom_it_is_for(
    acme: Any, rival: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(acme, email="bills@acme.example")
    sent: list[str] = []
    monkeypatch.setattr(tasks.mail_invoice, "delay", sent.append)
    clock.set(2024, 2, 3)
    tasks.finalise_invoices()
    tasks.finalise_invoices()
    with staff_scope():
        found = {invoice.tenant_id: invoice for invoice in Invoice.objects.all()}
    assert sorted(sent) == sorted(str(invoice.id) for invoice in found.values())
    assert len(sent) == 2
    for one in sent:
        tasks.mail_invoice(one)
    (message,) = mail.outbox
    number = found[acme.tenant.id].number
    assert message.to == ["bills@acme.example"]
    assert message.subject == f"Invoice {number} from Stenogate"
    assert "Total due: USD 0.06" in message.body
    ((name, content, kind),) = message.attachments
    assert (name, kind) == (f"{number}.pdf", "application/pdf")
    assert content.startswith(b"%PDF")


def test_it_runs_every_hour() -> None:
    from config.celery import app

    assert app.conf.beat_schedule["metering.finalise_invoices"]["task"] == tasks.finalise_invoices.name
