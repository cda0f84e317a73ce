"""What is read about usage."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db.models import F, Sum

from metering.models import UsageEvent
from tenants.scope import tenant_scope


def processed_ms(tenant_id: UUID, *, since: datetime, region: str, project_id: UUID | None = None) -> int:
    """The audio of a tenant, or of one project of it, that is recorded as processed in this region since."""
    events = UsageEvent.objects.filter(tenant_id=tenant_id, processed_at__gte=since, region=region)
    if project_id is not None:
        events = events.filter(project_id=project_id)
    with tenant_scope(tenant_id):
        return int(events.aggregate(ms=Sum(F("to_ms") - F("from_ms")))["ms"] or 0)
