"""The ledger entries of a billing period, as plain values."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from uuid import UUID

from metering.invoices.entry import Entry
from metering.models import LedgerEntry

FIELDS = (
    "seq", "kind", "at", "period", "rated_in", "processed_at", "project_id", "key_id", "stream", "request_id",
    "from_ms", "to_ms", "ms", "usage_kind", "model", "region", "tags", "price_id", "currency", "amount",
    "waived", "reason", "reference",
)  # fmt: skip
BATCH = 5000


def entries_of(tenant_id: UUID, period: date) -> Iterator[Entry]:
    """In their order. Inside the tenant's scope; never more than a batch in memory."""
    rows = LedgerEntry.objects.filter(tenant_id=tenant_id, period=period).order_by("seq")
    for row in rows.values_list(*FIELDS).iterator(chunk_size=BATCH):
        yield Entry(*row)
