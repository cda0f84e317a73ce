"""Celery's side of receipts."""

from __future__ import annotations

from celery import shared_task

from metering.receipts import due

EVERY_S = 5.0
# Nobody starts a turn that its successor has overtaken, and no turn lasts for ever.
MAX_TURNS = 20


@shared_task(name="metering.issue_receipts", expires=EVERY_S)
def issue_receipts() -> None:
    """Receipts for streams that have ended without one, and others where the ledger has changed."""
    for _ in range(MAX_TURNS):
        if due.look_through_ledger() == 0:
            break
    for _ in range(MAX_TURNS):
        if due.issue_due() < due.MAX_DUE:
            break
