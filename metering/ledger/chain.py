"""The hash chain of a tenant's ledger. Pure.

An entry's hash is the SHA-256 of the hash before it (32 bytes; before the first, nothing but zeros) and of
the entry's canonical text. Who changes, leaves out, puts in or moves a row breaks the chain from there on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from hashlib import sha256
from uuid import UUID

FORMAT = 1
START = bytes(32)


@dataclass(slots=True)
class Line:
    """A ledger entry as plain values, column by column."""

    tenant_id: UUID
    seq: int
    kind: str
    at: datetime
    period: date
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
    tags: tuple[str, ...]
    price_id: UUID | None
    currency: str
    rated_in: date | None
    amount: Decimal
    waived: Decimal
    reason: str
    reference: str
    previous_hash: bytes = START
    hash: bytes = START


def canonical(line: Line) -> str:
    """All that a row says but its hashes, in one way of writing it."""
    return json.dumps(
        [
            FORMAT,
            str(line.tenant_id),
            line.seq,
            line.kind,
            _instant(line.at),
            line.period.isoformat(),
            _instant(line.processed_at),
            _text(line.project_id),
            _text(line.key_id),
            line.stream,
            line.request_id,
            line.from_ms,
            line.to_ms,
            line.ms,
            line.usage_kind,
            line.model,
            line.region,
            list(line.tags),
            _text(line.price_id),
            line.currency,
            None if line.rated_in is None else line.rated_in.isoformat(),
            f"{line.amount:.6f}",
            f"{line.waived:.6f}",
            line.reason,
            line.reference,
        ],
        ensure_ascii=False,
        separators=(",", ":"),
    )


def hash_of(line: Line) -> bytes:
    """What its hash has to be, after the hash that it says came before it."""
    return sha256(line.previous_hash + canonical(line).encode()).digest()


def seal(line: Line, previous_hash: bytes) -> None:
    """Put it into the chain after `previous_hash`."""
    line.previous_hash = previous_hash
    line.hash = hash_of(line)


def _instant(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="microseconds")


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)
