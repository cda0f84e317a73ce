"""The ledger entries of a billing period, as plain values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from metering.models import LedgerEntry

FIELDS = (
    "seq", "kind", "at", "processed_at", "project_id", "key_id", "stream", "request_id", "from_ms", "to_ms",
    "ms", "usage_kind", "model", "region", "tags", "price_id", "currency", "amount", "waived", "reason",
    "reference",
)  # fmt: skip
BATCH = 5000


@dataclass(frozen=True, slots=True)
class Entry:
    seq: int
    kind: str
    at: datetime
    processed_at: datetime
    project_id: UUID | None
    key_id: UUID | None
    stream: str
    request_id: str
    from_ms: int | None
    to_ms: int | None
    ms: int
    usage_kind: str
    model: str
    region: str
    tags: list[str]
    price_id: UUID | None
    currency: str
    amount: Decimal
    waived: Decimal
    reason: str
    reference: str


def entries_of(tenant_id: UUID, period: date) -> Iterator[Entry]:
    """In their order. Inside the tenant's scope; never more than a batch in memory."""
    rows = LedgerEntry.objects.filter(tenant_id=tenant_id, period=period).order_by("seq")
    for row in rows.values_list(*FIELDS).iterator(chunk_size=BATCH):
        yield Entry(*row)
