"""Celery's side of metering. Every task may run twice, late, or after a crash in the middle."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from celery import Task, shared_task
from django.db import DataError, IntegrityError, InterfaceError, InternalError, OperationalError

from metering import events, requests, services, stored
from metering.events import UsageEvent
from metering.fields import Malformed
from metering.ledger.errors import RecordingStuck
from metering.requests import Request

T = TypeVar("T")

log = logging.getLogger(__name__)

# With the longest pause between tries, about a day and a half of a database that is away.
MAX_RETRIES = 500
LONGEST_PAUSE_S = 300
STUBBORNLY: dict[str, Any] = {
    "autoretry_for": (OperationalError, InternalError, InterfaceError, RecordingStuck),
    "retry_backoff": True,
    "retry_backoff_max": LONGEST_PAUSE_S,
    "retry_jitter": True,
    "max_retries": MAX_RETRIES,
}


@shared_task(name=UsageEvent.task, **STUBBORNLY)
def record_usage(raw: list[dict[str, Any]], batch: str = "") -> None:
    """Store usage events. A malformed one is named and left out, and keeps no other from being stored. Who
    gave the batch a name waits to hear that it is stored."""
    _store(UsageEvent.task, raw, events.parse, lambda found: services.record(found))
    stored.say(batch)


@shared_task(name=Request.task, **STUBBORNLY)
def record_requests(raw: list[dict[str, Any]], batch: str = "") -> None:
    """Store entries of the request log, as `record_usage` stores events."""
    _store(Request.task, raw, requests.parse, lambda found: services.record_requests(found))
    stored.say(batch)


BY_NAME: dict[str, Task[Any, Any]] = {UsageEvent.task: record_usage, Request.task: record_requests}


def _store(
    task: str, raw: list[dict[str, Any]], parse: Callable[[object], T], store: Callable[[list[T]], object]
) -> None:
    good: list[T] = []
    for one in raw if isinstance(raw, list) else [raw]:
        try:
            good.append(parse(one))
        except Malformed as error:
            log.error("%s: left out a malformed record: %s", task, error)
    try:
        store(good)
    except (DataError, IntegrityError):
        # One of them is not for this database, or names a tenant that is not there: one by one, so that it
        # alone is left out.
        for record in good:
            try:
                store([record])
            except IntegrityError:
                log.error("%s: %s belongs to no tenant", task, record)
            except DataError as error:
                log.error(
                    "%s: the database does not take %s: %s", task, record, type(error.__cause__).__name__
                )
