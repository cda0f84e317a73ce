"""Stores usage events: each range of a stream once, however often and in whatever pieces it comes.

Most events are new and touch nothing: one statement stores them all. What it leaves out overlaps something
that is there, or comes a second time: a repeat is passed over, and of an overlap only what is not there yet
is stored, under an id of its own. So what is stored of a stream is the union of all that was ever said of it.

The statement takes events in the order of stream and range, as everybody does, so that two who store the
same ones wait for each other in one direction only. What is left out is looked at in a transaction of its own
for each stream: whoever waits there holds nothing of another stream.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import groupby
from uuid import UUID

from django.db import connection

from metering.events import UsageEvent
from metering.intervals import Range, minus, union
from metering.ledger.errors import RecordingStuck
from metering.ledger.rows import array, array_text
from tenants.scope import current, staff_scope, tenant_scope

log = logging.getLogger(__name__)

# Each try after the first means that somebody else has stored something of the stream in between.
TRIES = 50

_STORE = """
WITH stored AS (
    INSERT INTO metering_usageevent (tenant_id, project_id, key_id, event_id, stream, from_ms, to_ms,
        kind, model, region, worker, tags, processed_at, source, recorded_at)
    SELECT e.tenant, e.project, e.key, e.stream || ':' || e.from_ms, e.stream, e.from_ms, e.to_ms,
        e.kind, e.model, e.region, e.worker, e.tags::text[],
        -- A clock that is far wrong must not carry usage into another age.
        CASE WHEN e.at > now() + interval '5 minutes' OR e.at IS NULL THEN now()
             ELSE GREATEST(e.at, '2020-01-01 00:00+00') END,
        e.source, now()
    FROM unnest(%s::uuid[], %s::uuid[], %s::uuid[], %s::text[], %s::bigint[], %s::bigint[], %s::text[],
        %s::text[], %s::text[], %s::text[], %s::text[], %s::timestamptz[], %s::text[]) WITH ORDINALITY
        AS e(tenant, project, key, stream, from_ms, to_ms, kind, model, region, worker, tags, at, source,
            place)
    WHERE EXISTS (SELECT 1 FROM tenants_tenant t WHERE t.id = e.tenant)
    ORDER BY e.place
    ON CONFLICT DO NOTHING
    RETURNING id, tenant_id, event_id, to_ms
), unposted AS (
    INSERT INTO metering_unposted (event_id, tenant_id) SELECT id, tenant_id FROM stored
)
SELECT tenant_id, event_id, to_ms FROM stored
"""
_KNOWN = """
SELECT e.place
FROM unnest(%s::uuid[], %s::text[], %s::bigint[]) WITH ORDINALITY AS e(tenant, event_id, to_ms, place)
JOIN metering_usageevent u ON u.tenant_id = e.tenant AND u.event_id = e.event_id AND u.to_ms >= e.to_ms
"""
_TENANTS = "SELECT id FROM tenants_tenant WHERE id = ANY(%s)"
_COVERED = """
SELECT from_ms, to_ms FROM metering_usageevent
WHERE stream_key = md5(%s::text || %s)::uuid AND int8range(from_ms, to_ms) && int8range(%s, %s)
"""


def record(events: Iterable[UsageEvent]) -> int:
    """Store what is not there yet of these events. Returns how many rows that made."""
    ordered = sorted(events, key=_place)
    total = 0
    for tenant_id, mine in _units(ordered):
        with _scope(tenant_id):
            stored = _store(mine)
            # By their ends too: of two with one id the longer may have been left out, and the shorter not.
            again = _not_known(
                [event for event in mine if (event.tenant, event.event_id, event.to_ms) not in stored]
            )
        total += len(stored)
        for (tenant, stream), group in groupby(again, key=lambda event: (event.tenant, event.stream)):
            total += _clip(UUID(tenant), stream, list(group))
    return total


def _place(event: UsageEvent) -> tuple[str, str, int, int]:
    return (event.tenant, event.stream, event.from_ms, -event.to_ms)


def _units(events: Sequence[UsageEvent]) -> Iterator[tuple[UUID | None, Sequence[UsageEvent]]]:
    """All of them at once; inside a tenant's own scope, by tenant."""
    outer = current()
    if outer is None or outer.tenant_id is None:
        yield None, events
        return
    for tenant, group in groupby(events, key=lambda event: event.tenant):
        yield UUID(tenant), list(group)


def _scope(tenant_id: UUID | None) -> AbstractContextManager[None]:
    return staff_scope() if tenant_id is None else tenant_scope(tenant_id)


def _store(events: Sequence[UsageEvent]) -> set[tuple[str, str, int]]:
    with connection.cursor() as cursor:
        cursor.execute(
            _STORE,
            [
                array(event.tenant for event in events),
                array(event.project for event in events),
                array(event.key for event in events),
                array(event.stream for event in events),
                array(event.from_ms for event in events),
                array(event.to_ms for event in events),
                array(event.kind for event in events),
                array(event.model for event in events),
                array(event.region for event in events),
                array(event.worker for event in events),
                array(array_text(event.tags) for event in events),
                array(event.processed_at or None for event in events),
                array(event.source for event in events),
            ],
        )
        return {(str(tenant), event_id, to_ms) for tenant, event_id, to_ms in cursor.fetchall()}


def _not_known(events: Sequence[UsageEvent]) -> list[UsageEvent]:
    """Without those of which all is there, and, named in the log, without those of no tenant."""
    if not events:
        return []
    tenants = [event.tenant for event in events]
    with connection.cursor() as cursor:
        cursor.execute(
            _KNOWN, [tenants, [event.event_id for event in events], [event.to_ms for event in events]]
        )
        known = {place for (place,) in cursor.fetchall()}
        rest = [event for place, event in enumerate(events, 1) if place not in known]
        if not rest:
            return []
        cursor.execute(_TENANTS, [list({UUID(event.tenant) for event in rest})])
        there = {str(tenant) for (tenant,) in cursor.fetchall()}
    for event in rest:
        if event.tenant not in there:
            log.error("%s: %s belongs to no tenant", UsageEvent.task, event)
    return [event for event in rest if event.tenant in there]


def _clip(tenant_id: UUID, stream: str, events: Sequence[UsageEvent]) -> int:
    """Store what is not there yet of these events of one stream."""
    total = 0
    outer = current()
    inside = outer is not None and outer.tenant_id is not None
    for _ in range(TRIES):
        with _scope(tenant_id if inside else None):
            parts = _uncovered(tenant_id, stream, events)
            if not parts:
                return total
            stored = len(_store(parts))
            total += stored
            if stored == len(parts):
                return total
    raise RecordingStuck()


def _uncovered(tenant_id: UUID, stream: str, events: Sequence[UsageEvent]) -> list[UsageEvent]:
    start, end = min(event.from_ms for event in events), max(event.to_ms for event in events)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"{tenant_id} {stream}"])
        cursor.execute(_COVERED, [str(tenant_id), stream, start, end])
        covered: list[Range] = cursor.fetchall()
    parts: list[UsageEvent] = []
    for event in events:
        for low, high in minus([(event.from_ms, event.to_ms)], covered):
            parts.append(replace(event, from_ms=low, to_ms=high))
        covered = union(covered, [(event.from_ms, event.to_ms)])
    return sorted(parts, key=lambda part: part.from_ms)
