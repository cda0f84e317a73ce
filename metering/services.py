"""Writes to the usage record."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from operator import attrgetter

from metering import models
from metering.events import UsageEvent
from tenants.scope import tenant_scope


def record(events: Iterable[UsageEvent]) -> None:
    """Store each event once, however often it comes: a unique violation means a repeat, not an error."""
    by_tenant = attrgetter("tenant")
    for tenant, group in groupby(sorted(events, key=by_tenant), key=by_tenant):
        with tenant_scope(tenant):
            models.UsageEvent.objects.bulk_create([_row(event) for event in group], ignore_conflicts=True)


def _row(event: UsageEvent) -> models.UsageEvent:
    return models.UsageEvent(
        tenant_id=event.tenant,
        project_id=event.project,
        key_id=event.key,
        event_id=event.event_id,
        stream=event.stream,
        from_ms=event.from_ms,
        to_ms=event.to_ms,
        model=event.model,
        region=event.region,
        worker=event.worker,
        tags=list(event.tags),
    )
