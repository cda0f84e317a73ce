"""Writes to the usage record and the request log."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import groupby
from uuid import UUID

from django.db.models import Max
from django.utils import timezone

from metering import models
from metering.receipts.expected import expect
from metering.recording import record as record
from metering.requests import Request
from tenants.scope import tenant_scope

# A clock that is far wrong must not carry a charge into another age; `recording` does the same with usage.
OLDEST, AHEAD = datetime(2020, 1, 1, tzinfo=UTC), timedelta(minutes=5)
# How streams end whose client may have gone on with them in another region.
CUT_OFF = (
    "client_left", "client_too_slow", "engine_failed", "gateway_draining", "internal_error", "NET-0001",
    "region_draining", "stream_error", "worker_lost",
)  # fmt: skip


def record_requests(requests: Iterable[Request]) -> None:
    """Store each entry of the request log once; the first that comes stays. What a region says of a stream
    that goes on in another one is not the last word of it: that comes from there."""
    # In order, so that two who store the same entries wait for each other in one direction only.
    ordered = sorted(requests, key=lambda request: (request.tenant, request.request_id))
    for tenant, group in groupby(ordered, key=lambda request: request.tenant):
        tenant_id = UUID(tenant)
        with tenant_scope(tenant_id):
            rows = _last_words(tenant_id, [_request_row(request) for request in group])
            models.Request.objects.bulk_create(rows, ignore_conflicts=True)
            _look_for_minimum(tenant_id, [row.request_id for row in rows])
            expect(tenant_id, [row.request_id for row in rows])


def _last_words(tenant_id: UUID, rows: list[models.Request]) -> list[models.Request]:
    """Without those of streams of which the last that was heard was heard elsewhere."""
    streams = {
        stream: row
        for row in rows
        if row.outcome in CUT_OFF
        for stream in (row.request_id, *(f"{row.request_id}.{channel}" for channel in range(row.channels)))
    }
    if not streams:
        return rows
    heard = models.UsageEvent.objects.filter(tenant_id=tenant_id, stream__in=streams)
    last: dict[str, tuple[int, str]] = {}
    for stream, region, until in heard.values_list("stream", "region").annotate(Max("to_ms")):
        request_id = streams[stream].request_id
        last[request_id] = max(last.get(request_id, (0, "")), (until, region))
    return [
        row
        for row in rows
        if row.outcome not in CUT_OFF or last.get(row.request_id, (0, row.region))[1] == row.region
    ]


def _look_for_minimum(tenant_id: UUID, request_ids: list[str]) -> None:
    """One that came a second time is looked at a second time, and found to be done."""
    found = models.Request.objects.filter(tenant_id=tenant_id, request_id__in=request_ids).order_by("pk")
    models.Unsettled.objects.bulk_create(
        [models.Unsettled(request=pk, tenant_id=tenant_id) for pk in found.values_list("pk", flat=True)],
        ignore_conflicts=True,
    )


def _request_row(request: Request) -> models.Request:
    return models.Request(
        tenant_id=request.tenant,
        project_id=request.project,
        key_id=request.key,
        request_id=request.request_id,
        kind=request.kind,
        path=request.path,
        started_at=_set_right(request.started_at),
        ended_at=_set_right(request.ended_at),
        outcome=request.outcome,
        status=request.status,
        audio_ms=request.audio_ms,
        billed_ms=request.billed_ms,
        channels=request.channels,
        model=request.model,
        version=request.version,
        language=request.language,
        region=request.region,
        worker=request.worker,
        tags=list(request.tags),
    )


def _set_right(said: str) -> datetime:
    moment, now = datetime.fromisoformat(said), timezone.now()
    return now if moment > now + AHEAD else max(moment, OLDEST)
