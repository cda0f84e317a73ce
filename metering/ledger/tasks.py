"""Celery's side of the ledger: turns that beat calls, and the e-mails that it tells of."""

from __future__ import annotations

import logging
import time

from celery import shared_task

from metering import notices, spend
from metering.ledger import post

log = logging.getLogger(__name__)

POST_EVERY_S = 1
POST_WITHIN_S = 30  # behind a full queue; a turn that finds nothing to do costs next to nothing
TURN_EVERY_S = 60
# A turn that has this much behind it leaves the rest to the next one, which may be running beside it.
LONGEST_S = 5.0
AT_ONCE = 2000


@shared_task(name="metering.post", expires=POST_WITHIN_S)
def post_due() -> None:
    """Put what was recorded into the ledger. One tenant's trouble is named, and holds up no other tenant."""
    ends = time.monotonic() + LONGEST_S
    waiting = post.waiting()
    while waiting and time.monotonic() < ends:
        again = []
        for tenant_id in waiting:
            try:
                if post.post_tenant(tenant_id, AT_ONCE, wait=False) == AT_ONCE:
                    again.append(tenant_id)
            except Exception:
                log.exception("%s: the ledger of tenant %s", "metering.post", tenant_id)
            if time.monotonic() >= ends:
                break
        waiting = again


@shared_task(name="metering.turn_period", expires=TURN_EVERY_S)
def turn_period() -> None:
    """Begin billing periods, and lift the holds that end with a period or a payment."""
    spend.turn_due()


@shared_task(
    name=notices.TASK,
    autoretry_for=(OSError,),  # whatever a mail server answers is one
    retry_backoff=30,
    retry_backoff_max=3600,
    max_retries=12,  # about half a day
)
def notify(address: str, subject: str, text: str) -> None:
    notices.send(address, subject, text)
