"""What is compared, read from PostgreSQL: first which streams of a day differ, in sets, then those alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from metering.models import Reconciliation
from metering.reconcile.compare import Entry, Log, Logs, Record, Stored, Stream
from tenants.scope import staff_scope

TENANTS_AT_ONCE = 50
STREAMS_AT_ONCE = 200
DAY = timedelta(days=1)

Name = tuple[UUID, str]  # of a stream: its tenant's, its own

# Only rows of the day are read here, so a stream that goes over midnight may be found although nothing is
# wrong with it; it is then looked at as a whole. Multiranges do the comparing.
DIFFERING = """
WITH epochs AS (
    SELECT tenant_id, stream, epoch, range_agg(int8range(from_ms, to_ms)) AS ranges,
           min(to_ms) FILTER (WHERE settled) AS until,
           -- Whatever of it counts is of the day before: its other records need not agree with this one.
           min(to_ms) FILTER (WHERE settled) <= min(from_ms) AS settled_before
    FROM metering_inferencerecord
    WHERE tenant_id = ANY(%(tenants)s) AND processed_at >= %(start)s AND processed_at < %(end)s
    GROUP BY tenant_id, stream, epoch
), logged AS (
    SELECT tenant_id, stream,
           range_agg(CASE WHEN until IS NULL THEN ranges
                          ELSE ranges * int8multirange(int8range(0, until)) END) AS ranges,
           bool_or(settled_before) AS settled_before
    FROM epochs GROUP BY tenant_id, stream
), booked AS (
    SELECT tenant_id, stream, sum(ms) AS ms,
           range_agg(int8range(from_ms, to_ms)) FILTER (WHERE ms > 0) AS charged,
           range_agg(int8range(from_ms, to_ms)) FILTER (WHERE ms < 0) AS credited
    FROM metering_ledgerentry
    WHERE tenant_id = ANY(%(tenants)s) AND processed_at >= %(start)s AND processed_at < %(end)s
      AND from_ms IS NOT NULL AND ms <> 0
    GROUP BY tenant_id, stream
)
SELECT tenant_id, stream
FROM logged l FULL JOIN booked b USING (tenant_id, stream)
WHERE COALESCE(l.ranges, '{}') <> COALESCE(b.charged, '{}') - COALESCE(b.credited, '{}')
   OR COALESCE(b.ms, 0) <> COALESCE((SELECT sum(upper(r) - lower(r)) FROM unnest(l.ranges) r), 0)
   OR l.settled_before
ORDER BY tenant_id, stream
"""

# Days of which something came after the last run that looked at them. What comes so late is little, and has
# indexes of its own.
CHANGED = """
WITH late AS (
    SELECT processed_at, recorded_at FROM metering_usageevent
    WHERE processed_at >= %(start)s AND processed_at < %(end)s
      AND recorded_at - processed_at > interval '1 day'
    UNION ALL
    SELECT processed_at, recorded_at FROM metering_inferencerecord
    WHERE processed_at >= %(start)s AND processed_at < %(end)s
      AND recorded_at - processed_at > interval '1 day'
), came AS (
    SELECT (processed_at AT TIME ZONE 'UTC')::date AS day, max(recorded_at) AS at FROM late GROUP BY 1
)
SELECT day FROM came
WHERE NOT EXISTS (
    SELECT FROM metering_reconciliation r
    WHERE r.day = came.day AND r.only IS NULL AND NOT r.dry_run AND r.finished_at IS NOT NULL
      AND r.started_at > came.at
)
"""

RECORDS = """
SELECT tenant_id, stream, project_id, key_id, epoch, from_ms, to_ms, settled, kind, model, region, worker,
       tags, processed_at, log
FROM unnest(%(tenants)s::uuid[], %(streams)s::text[]) wanted(tenant, name)
JOIN metering_inferencerecord ON tenant_id = wanted.tenant AND stream = wanted.name
"""
ENTRIES = """
SELECT tenant_id, stream, from_ms, to_ms, ms, processed_at
FROM unnest(%(tenants)s::uuid[], %(streams)s::text[]) wanted(tenant, name)
JOIN metering_ledgerentry ON tenant_id = wanted.tenant AND request_id = split_part(wanted.name, '.', 1)
                         AND stream = wanted.name
WHERE from_ms IS NOT NULL AND ms <> 0
"""
EVENTS = """
SELECT e.tenant_id, e.stream, e.from_ms, e.to_ms, e.worker, e.processed_at, u.event_id IS NOT NULL
FROM unnest(%(tenants)s::uuid[], %(streams)s::text[]) wanted(tenant, name)
JOIN metering_usageevent e ON e.stream_key = md5(wanted.tenant::text || wanted.name)::uuid
LEFT JOIN metering_unposted u ON u.event_id = e.id
"""
# Of the days around, for a record may be of one and its sibling of the next.
STRANGERS = """
SELECT stream, array_agg(DISTINCT tenant_id) FROM (
    SELECT stream, tenant_id FROM metering_inferencerecord
    WHERE tenant_id = ANY(%(all)s) AND processed_at >= %(start)s AND processed_at < %(end)s
      AND stream = ANY(%(streams)s)
    UNION ALL
    SELECT stream, tenant_id FROM metering_ledgerentry
    WHERE tenant_id = ANY(%(all)s) AND processed_at >= %(start)s AND processed_at < %(end)s
      AND stream = ANY(%(streams)s)
) seen GROUP BY stream HAVING count(DISTINCT tenant_id) > 1
"""


def bounds(day: date) -> tuple[datetime, datetime]:
    start = datetime.combine(day, time(), tzinfo=UTC)
    return start, start + DAY


def tenants() -> list[UUID]:
    return [row[0] for row in _rows("SELECT id FROM tenants_tenant ORDER BY id", {})]


def unposted(only: UUID | None = None) -> list[UUID]:
    """Whose usage waits to be in the ledger."""
    if only is not None:
        return [only]
    # One probe of the index for each tenant, however much waits.
    return [
        row[0]
        for row in _rows(
            "SELECT id FROM tenants_tenant t "
            "WHERE EXISTS (SELECT 1 FROM metering_unposted u WHERE u.tenant_id = t.id) ORDER BY id",
            {},
        )
    ]


def batches(whose: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for at in range(0, len(whose), size):
        yield whose[at : at + size]


def changed(first: date, before: date) -> set[date]:
    """Those of these days of which something is here that no run has seen."""
    rows = _rows(CHANGED, {"start": bounds(first)[0], "end": bounds(before)[0]})
    return {day for (day,) in rows}


def missed(first: date, before: date) -> set[date]:
    """Those of these days, from the first on that ever was run for, of which no run came to its end."""
    with staff_scope():
        runs = Reconciliation.objects.filter(only=None, dry_run=False, finished_at__isnull=False)
        seen = set(runs.filter(day__gte=first, day__lt=before).values_list("day", flat=True))
        if not runs.filter(day__lt=first).exists():
            first = min(seen, default=before)
    return {first + number * DAY for number in range((before - first).days)} - seen


def differing(day: date, whose: Sequence[UUID]) -> list[Name]:
    """The streams of these tenants whose two records of this day are not the same."""
    start, end = bounds(day)
    return [
        (tenant, stream)
        for tenant, stream in _rows(DIFFERING, {"tenants": list(whose), "start": start, "end": end})
    ]


def streams(names: Sequence[Name]) -> list[Stream]:
    """All that is known of these, of whatever day."""
    wanted = {"tenants": [tenant for tenant, _ in names], "streams": [stream for _, stream in names]}
    with staff_scope():
        records: dict[Name, list[Record]] = defaultdict(list)
        for tenant, stream, *rest, tags, processed_at, log in _rows(RECORDS, wanted):
            values = [*rest, tuple(tags), processed_at, log]
            records[tenant, stream].append(Record(*values))
        # Before entries: what is posted in between is then in both, and not in neither.
        events: dict[Name, list[Stored]] = defaultdict(list)
        for tenant, stream, *rest in _rows(EVENTS, wanted):
            events[tenant, stream].append(Stored(*rest))
        entries: dict[Name, list[Entry]] = defaultdict(list)
        for tenant, stream, *rest in _rows(ENTRIES, wanted):
            entries[tenant, stream].append(Entry(*rest))
    return [Stream(*name, tuple(records[name]), tuple(entries[name]), tuple(events[name])) for name in names]


def strangers(day: date, names: Iterable[Name]) -> dict[str, list[UUID]]:
    """Those of these streams that are recorded under more than one tenant."""
    wanted = sorted({stream for _, stream in names})
    if not wanted:
        return {}
    start, end = bounds(day)
    rows = _rows(STRANGERS, {"all": tenants(), "streams": wanted, "start": start - DAY, "end": end + DAY})
    return {stream: list(found) for stream, found in rows}


def logs(day: date, *, give_up: bool) -> Logs:
    """The files of all workers, as far as they may have something of this day."""
    start = bounds(day)[0] - DAY  # a stream may have begun the day before
    # A worker cannot know of what came after we last heard of it, whatever its clock says.
    rows = _rows(
        "SELECT log, worker, LEAST(complete_until, seen_at), closed, seen_at >= %(start)s "
        "FROM metering_inferencelog WHERE NOT closed OR seen_at >= %(start)s",
        {"start": start},
    )
    return Logs({log: Log(*rest) for log, *rest in rows}, give_up=give_up, until=bounds(day)[1])


def _rows(query: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    with staff_scope(), connection.cursor() as cursor:
        cursor.execute(query, parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows
