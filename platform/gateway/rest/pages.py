"""A page of a list: newest first, after a cursor."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from django.db.models import Model, Q, QuerySet

from gateway.rest import cursor as cursors

M = TypeVar("M", bound=Model)
USUAL, MOST = 100, 100
CURSOR_MEANS = "The `next_cursor` of the page before."
NEXT_CURSOR_MEANS = "Ask again with it as `cursor` for what follows; null: this is the end."


def page(
    rows: QuerySet[M], *, of: str, at: str, limit: int, after: str | None, convert: Callable[[str], Any]
) -> tuple[list[M], str | None]:
    """At most `limit` rows by the column `at`, newest first, and the cursor of the next page."""
    if after is not None:
        moment, last = cursors.decode(after, of, convert)
        # The first condition says less than the second; it is the one that an index can begin at.
        rows = rows.filter(**{f"{at}__lte": moment}).filter(
            Q(**{f"{at}__lt": moment}) | Q(**{at: moment, "pk__lt": last})
        )
    found = list(rows.order_by(f"-{at}", "-pk")[: limit + 1])
    if len(found) <= limit:
        return found, None
    return found[:limit], cursor_after(found[limit - 1], of=of, at=at)


def cursor_after(row: Model, *, of: str, at: str) -> str:
    moment: datetime = getattr(row, at)
    return cursors.encode(of, moment, row.pk)
