"""Writes to the usage record and the request log."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import groupby
from uuid import UUID

from django.utils import timezone

from metering import models
from metering.receipts.expected import expect
from metering.recording import record as record
from metering.requests import Request
from tenants.scope import tenant_scope

# A clock that is far wrong must not carry a charge into another age; `recording` does the same with usage.
OLDEST, AHEAD = datetime(2020, 1, 1, tzinfo=UTC), timedelta(minutes=5)


def record_requests(requests: Iterable[Request]) -> None:
    """Store each entry of the request log once; the first that comes stays."""
    # In order, so that two who store the same entries wait for each other in one direction only.
    ordered = sorted(requests, key=lambda request: (request.tenant, request.request_id))
    for tenant, group in groupby(ordered, key=lambda request: request.tenant):
        tenant_id = UUID(tenant)
        with tenant_scope(tenant_id):
            rows = [_request_row(request) for request in group]
            models.Request.objects.bulk_create(rows, ignore_conflicts=True)
            _look_for_minimum(tenant_id, [row.request_id for row in rows])
            expect(tenant_id, [row.request_id for row in rows])


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
