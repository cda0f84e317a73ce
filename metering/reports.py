"""What is read about usage and requests. Inside a tenant's scope; every query is by project and time, which
is what the indexes are for. Usage is what the ledger says, so that it is what is billed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, TypeVar
from uuid import UUID

from django.db.models import Count, F, Model, Q, QuerySet, Sum, Value
from django.db.models.functions import Coalesce, TruncDay

from metering.models import LedgerEntry, Request

# The columns that rows are grouped by, under the name that callers know.
GROUPS = {"key": "key_id", "kind": "kind", "model": "model", "tags": "tags"}
# What of them the ledger calls otherwise: its entries have a kind of their own.
IN_LEDGER = {"kind": "usage_kind"}
NAMED_SO: Mapping[str, str] = {}
MAX_ROWS = 10_000
MAX_DISTINCT = 1000


M = TypeVar("M", bound=Model)


class TooManyRows(Exception):
    """More groups than anybody could read."""


@dataclass(frozen=True)
class Wanted:
    """Which part of a project's usage. None: whatever it is."""

    project_id: UUID
    start: datetime
    end: datetime
    key_id: UUID | None = None
    tag: str | None = None
    model: str | None = None
    kind: str | None = None


@dataclass(frozen=True)
class Used:
    """On one day (UTC), in one group: `audio_ms` of streams, `billed_ms` of all their channels."""

    day: date
    group: Any
    audio_ms: int = 0
    billed_ms: int = 0
    requests: int = 0


def usage(wanted: Wanted, group: str | None = None) -> list[Used]:
    """By day, and by a name of `GROUPS`. Audio counts on the day it was processed, less what was taken back
    of it; a request on the day it began, once it has ended."""
    found: dict[tuple[date, Any], Used] = {}
    entries = _matching(LedgerEntry.objects.exclude(ms=0), wanted, "processed_at", IN_LEDGER)
    for row in _by_day(entries, "processed_at", group, IN_LEDGER).annotate(
        billed_ms=Sum("ms"),
        # The other channels of a stream are the same time again; a stream of one channel has no number.
        audio_ms=Coalesce(Sum("ms", filter=~Q(stream__contains=".") | Q(stream__endswith=".0")), 0),
    )[: MAX_ROWS + 1]:
        key = _key(row)
        found[key] = Used(row["day"].date(), row["group"], row["audio_ms"], row["billed_ms"])
    counted = _by_day(_matching(Request.objects.all(), wanted, "started_at"), "started_at", group)
    for row in counted.annotate(requests=Count("id"))[: MAX_ROWS + 1]:
        key = _key(row)
        had = found.get(key, Used(row["day"].date(), row["group"]))
        found[key] = Used(had.day, had.group, had.audio_ms, had.billed_ms, row["requests"])
    if len(found) > MAX_ROWS:
        raise TooManyRows
    return [found[key] for key in sorted(found)]


@dataclass(frozen=True)
class Fields:
    """What there is to filter by."""

    tags: list[str]
    models: list[tuple[str, str, str]]  # name, language, version
    kinds: list[str]


def fields(wanted: Wanted) -> Fields:
    rows = _matching(Request.objects.all(), wanted, "started_at").order_by()
    tags = rows.exclude(tags=[]).values_list("tags", flat=True).distinct()[:MAX_DISTINCT]
    models = rows.values_list("model", "language", "version").distinct()[:MAX_DISTINCT]
    kinds = rows.values_list("kind", flat=True).distinct()
    return Fields(sorted({tag for row in tags for tag in row}), sorted(models), sorted(kinds))


def requests(project_id: UUID) -> QuerySet[Request]:
    """Newest first."""
    return Request.objects.filter(project_id=project_id).order_by("-started_at", "-id")


def _matching(rows: QuerySet[M], wanted: Wanted, at: str, named: Mapping[str, str] = NAMED_SO) -> QuerySet[M]:
    rows = rows.filter(project_id=wanted.project_id, **{f"{at}__gte": wanted.start, f"{at}__lt": wanted.end})
    exactly = {"key_id": wanted.key_id, "model": wanted.model, "kind": wanted.kind}
    rows = rows.filter(
        **{named.get(name, name): value for name, value in exactly.items() if value is not None}
    )
    return rows if wanted.tag is None else rows.filter(tags__contains=[wanted.tag])


def _by_day(
    rows: QuerySet[Any], at: str, group: str | None, named: Mapping[str, str] = NAMED_SO
) -> QuerySet[Any, dict[str, Any]]:
    column = F(named.get(group, GROUPS[group])) if group else Value("")
    grouped = rows.order_by().annotate(day=TruncDay(at, tzinfo=UTC), group=column)
    rows_of_days: QuerySet[Any, dict[str, Any]] = grouped.values("day", "group")
    return rows_of_days


def _key(row: dict[str, Any]) -> tuple[date, Any]:
    group = row["group"]
    return row["day"].date(), tuple(group) if isinstance(group, list) else str(group)
