"""Billed usage, added up by whatever is asked for. Inside a tenant's scope.

What it adds up are the ledger's entries about streams, so that of a billing period it gives the milliseconds
of the invoice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection

from metering.reports import MAX_ROWS, TooManyRows

ZERO = Decimal(0)
# What can be split by: an expression for each, and the name that people know. A stream of two tags counts
# under each of them, as on the invoice.
DIMENSIONS: Mapping[str, str] = {
    "hour": """to_char(e.processed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:00:00"Z"')""",
    "day": "to_char(e.processed_at AT TIME ZONE %(zone)s, 'YYYY-MM-DD')",
    "project": "e.project_id::text",
    "key": "e.key_id::text",
    "tag": "t.tag",
    "model": "e.model",
    "kind": "e.usage_kind",
    "region": "e.region",
}
# A stream of no tag counts under the empty one.
TAGS = """CROSS JOIN LATERAL (
    SELECT DISTINCT unnest(CASE WHEN e.tags = '{}' THEN ARRAY['']::varchar[] ELSE e.tags END) AS tag) t"""
FILTERS: Mapping[str, str] = {
    "project": "e.project_id = %(project)s",
    "key": "e.key_id = %(key)s",
    "tag": "e.tags @> ARRAY[%(tag)s]::varchar[]",
    "model": "e.model = %(model)s",
    "kind": "e.usage_kind = %(kind)s",
    "region": "e.region = %(region)s",
}


@dataclass(frozen=True)
class Asked:
    """`period` is charged in it, wherever it was processed: what the invoice has. Else what was processed
    from `start` on and before `end`."""

    tenant_id: UUID
    zone: str  # whose days
    period: date | None = None
    start: datetime | None = None
    end: datetime | None = None
    group: tuple[str, ...] = ()
    filters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Used:
    """`group` has a value for each name that was asked for."""

    group: Mapping[str, str]
    ms: int
    amount: Decimal
    waived: Decimal


def usage(asked: Asked) -> list[Used]:
    names = asked.group
    with connection.cursor() as cursor:
        cursor.execute(
            _sql(asked), {**asked.filters, **_when(asked), "zone": asked.zone, "tenant": asked.tenant_id}
        )
        rows = cursor.fetchall()
    if len(rows) > MAX_ROWS:
        raise TooManyRows
    return [Used(_named(names, row), int(row[-3]), row[-2], row[-1]) for row in rows]


def _sql(asked: Asked) -> str:
    """Made of the texts above alone; what was asked goes in as parameters."""
    columns = [DIMENSIONS[name] for name in asked.group]
    where = ["e.tenant_id = %(tenant)s", "e.request_id <> ''", *(FILTERS[name] for name in asked.filters)]
    if asked.period is not None:
        where.append("e.period = %(period)s")
    else:
        where.append("e.processed_at >= %(start)s AND e.processed_at < %(end)s")
    by = ", ".join(str(place) for place in range(1, len(columns) + 1))
    return (
        f"SELECT {''.join(f'{column}, ' for column in columns)}coalesce(sum(e.ms), 0), "  # noqa: S608
        "coalesce(sum(e.amount), 0), coalesce(sum(e.waived), 0) FROM metering_ledgerentry e "
        f"{TAGS if 'tag' in asked.group else ''} WHERE {' AND '.join(where)} "
        f"{f'GROUP BY {by} ORDER BY {by}' if by else ''} LIMIT {MAX_ROWS + 1}"
    )


def _when(asked: Asked) -> dict[str, Any]:
    return {"period": asked.period, "start": asked.start, "end": asked.end}


def _named(names: Sequence[str], row: Sequence[Any]) -> dict[str, str]:
    return {name: "" if value is None else str(value) for name, value in zip(names, row[:-3], strict=True)}
