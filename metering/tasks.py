"""Celery's side of metering. Every task may run twice, late, or after a crash in the middle."""

from __future__ import annotations

import logging
from typing import Any

from celery import shared_task
from django.db import IntegrityError, InterfaceError, OperationalError

from metering import services
from metering.events import MalformedEvent, UsageEvent, parse

log = logging.getLogger(__name__)

# With the longest pause between tries, about a day and a half of a database that is away.
MAX_RETRIES = 500
LONGEST_PAUSE_S = 300


@shared_task(
    name="metering.record_usage",
    autoretry_for=(OperationalError, InterfaceError),
    retry_backoff=True,
    retry_backoff_max=LONGEST_PAUSE_S,
    retry_jitter=True,
    max_retries=MAX_RETRIES,
)
def record_usage(events: list[dict[str, Any]]) -> None:
    """Store usage events. A malformed one is named and left out, and keeps no other from being stored."""
    good: list[UsageEvent] = []
    for raw in events if isinstance(events, list) else [events]:
        try:
            good.append(parse(raw))
        except MalformedEvent as error:
            log.error("metering.record_usage: left out a malformed event: %s", error)
    try:
        services.record(good)
    except IntegrityError:
        if len(good) == 1:
            log.error("metering.record_usage: %s belongs to no tenant", good[0].event_id)
            return
        # One of them names a tenant that is not there: one by one, so that it alone is left out.
        for event in good:
            record_usage([event.as_dict()])
