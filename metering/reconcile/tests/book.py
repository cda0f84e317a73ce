"""What the tests of reconciliation write into the two records."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.db import connection
from psycopg.types.json import Jsonb

from metering import services
from metering.events import UsageEvent
from metering.ledger.post import post_due
from metering.models import Difference, LedgerEntry
from tenants.scope import staff_scope

DAY = date(2026, 11, 20)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
WORKER = "worker.one"


def ship(
    house: Any, stream: str, *ranges: tuple[int, int], epoch: int = 1, settled: int | None = None,
    at: datetime = NOON, until: datetime | None = None, closed: bool = True, worker: str = WORKER,
    log: UUID | None = None,
) -> UUID:  # fmt: skip
    """As a worker ships its log: through the function that it may call."""
    log = log or uuid4()
    rows = [(start, end, False) for start, end in ranges]
    if settled is not None:
        rows.append((settled, settled, True))
    records = [
        {
            "seq": seq, "tenant": str(house.tenant.id), "project": str(house.project.id),
            "key": str(house.key.id), "stream": stream, "epoch": epoch, "from_ms": start, "to_ms": end,
            "settled": done, "kind": "live", "model": "m", "tags": ["a"],
            "processed_at": (at + timedelta(milliseconds=end)).isoformat(),
        }
        for seq, (start, end, done) in enumerate(rows, 1)
    ]  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT metering_ship(%s, %s, 'local', %s, %s, %s)",
            [log, worker, until or at + timedelta(days=2), closed, Jsonb(records)],
        )
    return log


def event(house: Any, stream: str, start: int, end: int, at: datetime = NOON) -> UsageEvent:
    return UsageEvent(
        str(house.tenant.id), str(house.project.id), str(house.key.id), stream, start, end, "m", "local",
        WORKER, ("a",), processed_at=(at + timedelta(milliseconds=end)).isoformat(),
    )  # fmt: skip


def use(house: Any, stream: str, *ranges: tuple[int, int], at: datetime = NOON, post: bool = True) -> None:
    """As a gateway emits it."""
    services.record([event(house, stream, start, end, at) for start, end in ranges])
    while post and post_due(house.tenant.id):
        pass


def ledger(house: Any, stream: str) -> int:
    with staff_scope():
        found = LedgerEntry.objects.filter(tenant_id=house.tenant.id, stream=stream)
        return sum(found.values_list("ms", flat=True))


def entries(house: Any) -> int:
    with staff_scope():
        return LedgerEntry.objects.filter(tenant_id=house.tenant.id).count()


def noted(house: Any = None, **which: Any) -> list[Difference]:
    with staff_scope():
        found = Difference.objects.filter(**which).order_by("id")
        return list(found if house is None else found.filter(tenant_id=house.tenant.id))


def told(found: Sequence[Difference]) -> list[tuple[str, str, str, int | None, int | None]]:
    return [(one.kind, one.action, one.stream, one.from_ms, one.to_ms) for one in found]
