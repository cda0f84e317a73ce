"""What Celery does about invoices. Every task may run twice, late, or after a crash in the middle."""

from __future__ import annotations

import logging

from celery import shared_task

from metering.invoices.finalise import finalise_due
from metering.invoices.mail import send
from metering.models import Invoice

log = logging.getLogger(__name__)


@shared_task(name="metering.finalise_invoices")
def finalise_invoices() -> None:
    """Every hour; what one run leaves, the next one takes."""

    def tell(invoice: Invoice) -> None:
        log.info("metering.finalise_invoices: %s is final", invoice.number)
        mail_invoice.delay(str(invoice.id))

    finalise_due(tell=tell)


@shared_task(
    name="metering.mail_invoice",
    autoretry_for=(OSError,),
    retry_backoff=60,
    retry_backoff_max=3600,
    max_retries=24,
)
def mail_invoice(invoice_id: str) -> None:
    """Once in all but rare cases: a worker that dies after the mail has left sends it again."""
    send(invoice_id)
