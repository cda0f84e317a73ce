"""Writes to the usage record and the request log."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import TypeVar
from uuid import UUID

from metering import models
from metering.receipts.expected import expect
from metering.recording import record as record
from metering.requests import Request
from tenants.scope import tenant_scope

T = TypeVar("T")


def record_requests(requests: Iterable[Request]) -> None:
    """Store each entry of the request log once; the first that comes stays."""
    for tenant, group in _by_tenant(requests, lambda request: request.tenant):
        with tenant_scope(tenant):
            rows = [_request_row(request) for request in group]
            models.Request.objects.bulk_create(rows, ignore_conflicts=True)
            _look_for_minimum(tenant, [row.request_id for row in rows])
            expect(tenant, [row.request_id for row in rows])


def _look_for_minimum(tenant_id: UUID, request_ids: list[str]) -> None:
    """One that came a second time is looked at a second time, and found to be done."""
    found = models.Request.objects.filter(tenant_id=tenant_id, request_id__in=request_ids)
    models.Unsettled.objects.bulk_create(
        [models.Unsettled(request=pk, tenant_id=tenant_id) for pk in found.values_list("pk", flat=True)],
        ignore_conflicts=True,
    )


def _by_tenant(records: Iterable[T], tenant_of: Callable[[T], str]) -> Iterator[tuple[UUID, Iterator[T]]]:
    for tenant, group in groupby(sorted(records, key=tenant_of), key=tenant_of):
        yield UUID(tenant), group


def _request_row(request: Request) -> models.Request:
    return models.Request(
        tenant_id=request.tenant,
        project_id=request.project,
        key_id=request.key,
        request_id=request.request_id,
        kind=request.kind,
        path=request.path,
        started_at=request.started_at,
        ended_at=request.ended_at,
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
