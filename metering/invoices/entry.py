"""A ledger entry as plain values. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Entry:
    seq: int
    kind: str
    at: datetime
    period: date
    rated_in: date | None  # of audio: the period whose counters it was rated by
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
