"""Celery's side of payments. Without STRIPE_API_KEY none of them does anything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from celery import shared_task

from metering import outbox
from metering.payments import client, deliver, locks, settle, standing, webhooks

# With a Stripe that does not answer a run takes long. Its turns must not take all threads of the worker,
# which serves callbacks too.
DELIVERING_AT_ONCE = 4


@contextmanager
def turn(task: str, at_once: int = 1) -> Iterator[bool]:
    """False where as many as may are at it already: what is due is theirs."""
    if at_once == 0:
        yield False
        return
    with locks.alone(locks.RUNNING, f"{task} {at_once}") as mine:
        if mine:
            yield True
            return
    with turn(task, at_once - 1) as mine:
        yield mine


@shared_task(name="metering.fill_outbox")
def fill_outbox() -> None:
    if client.configured():
        outbox.fill()


@shared_task(name="metering.deliver")
def deliver_due() -> None:
    with turn("deliver", DELIVERING_AT_ONCE) as mine:
        if mine:
            deliver.deliver_due()


@shared_task(name="metering.settle")
def settle_due() -> None:
    with turn("settle") as mine:
        if mine:
            settle.settle_due()


@shared_task(name="metering.handle_webhooks")
def handle_webhooks() -> None:
    with turn("webhooks") as mine:
        if mine:
            webhooks.handle_due()


@shared_task(name="metering.end_grace")
def end_grace() -> None:
    with turn("grace") as mine:
        if mine:
            standing.refresh_all()
