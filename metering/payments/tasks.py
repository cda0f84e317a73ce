"""Celery's side of payments. Without STRIPE_API_KEY none of them does anything."""

from __future__ import annotations

from celery import shared_task

from metering import outbox
from metering.payments import client, deliver, settle, standing, webhooks


@shared_task(name="metering.fill_outbox")
def fill_outbox() -> None:
    if client.configured():
        outbox.fill()


@shared_task(name="metering.deliver")
def deliver_due() -> None:
    deliver.deliver_due()


@shared_task(name="metering.settle")
def settle_due() -> None:
    settle.settle_due()


@shared_task(name="metering.handle_webhooks")
def handle_webhooks() -> None:
    webhooks.handle_due()


@shared_task(name="metering.end_grace")
def end_grace() -> None:
    standing.refresh_all()
