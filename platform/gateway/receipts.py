"""The receipt of a stream, at its end and within a second, or not at all: it is issued later then."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from channels.db import database_sync_to_async
from django.db import connection

from gateway import control
from metering.events import UsageEvent
from metering.receipts import keys
from metering.receipts.issue import issue
from metering.receipts.shown import shown
from metering.receipts.statements import of_events
from tenants.scope import tenant_scope

log = logging.getLogger(__name__)

WITHIN_S = 1.0
THREADS = 2
MAX_WAITING = 200
PRICES_MAY_CHANGE_EVERY_MIN = 15

# Not those that look up keys: no stream that ends makes one that begins wait.
_threads = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="receipts")
_under_way = 0


class Billed:
    """What has been metered of a stream. Events that follow each other are kept as one, as far as they have
    one price for certain: months and prices begin at a quarter of an hour, or the ledger puts it right."""

    def __init__(self) -> None:
        self._events: dict[tuple[str, str], UsageEvent] = {}

    def add(self, events: Iterable[UsageEvent]) -> None:
        for event in events:
            where = event.stream, _quarter(event.processed_at)
            before = self._events.get(where)
            self._events[where] = event if before is None else replace(event, from_ms=before.from_ms)

    @property
    def events(self) -> list[UsageEvent]:
        return list(self._events.values())


async def ask(request_id: str, events: Sequence[UsageEvent]) -> Mapping[str, str] | None:
    """The receipt of a stream of which this was metered. Never raises, and takes no longer than a second."""
    global _under_way
    database = control.current()
    if not events or not keys.signers() or database.away:
        return None
    if _under_way >= THREADS + MAX_WAITING:
        log.warning("receipt of stream %s: too many are being made; it will be issued later", request_id)
        return None
    _under_way += 1
    try:
        # That it takes too long for this is no sign that it is away.
        async with asyncio.timeout(WITHIN_S):
            with database.noting():
                return await database_sync_to_async(_issue, thread_sensitive=False, executor=_threads)(
                    request_id, list(events)
                )
    except Exception as error:
        log.warning("receipt of stream %s: %s; it will be issued later", request_id, type(error).__name__)
        return None
    finally:
        _under_way -= 1


def _issue(request_id: str, events: list[UsageEvent]) -> dict[str, str]:
    tenant_id = UUID(events[0].tenant)
    with tenant_scope(tenant_id):
        with connection.cursor() as cursor:
            # Nobody waits for it longer; and a thread that does keeps others from theirs.
            cursor.execute(f"SET LOCAL statement_timeout = {int(WITHIN_S * 1000)}")
        return shown(issue(tenant_id, of_events(request_id, events)))


def _quarter(at: str) -> str:
    moment = datetime.fromisoformat(at)
    minute = moment.minute - moment.minute % PRICES_MAY_CHANGE_EVERY_MIN
    return moment.replace(minute=minute, second=0, microsecond=0).isoformat()
