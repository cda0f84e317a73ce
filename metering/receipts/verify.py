"""Whether the receipts in the database are as they were signed, and all there. A row that was changed, put
in or taken out shows: in its signature, in the chain, or at the chain's head."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from metering.models import Receipt, ReceiptHead, SigningKey
from metering.receipts import body, keys
from tenants.scope import tenant_scope


def problems_of(tenant_id: UUID) -> tuple[int, list[str]]:
    """How many receipts there are, and what is wrong with them."""
    with tenant_scope(tenant_id):
        publics = {row.name: bytes(row.public) for row in SigningKey.objects.all()}
        count, last, problems = 0, bytes(32), []
        numbers: dict[str, int] = {}
        for row in Receipt.objects.order_by("number").iterator(chunk_size=1000):
            count += 1
            if row.number != count:
                to = row.number - 1
                problems.append(
                    f"receipts {count} to {to} are missing" if to > count else f"receipt {count} is missing"
                )
                count = row.number
            before = numbers.get(row.request_id)
            problems += [f"{_named(row)}: {said}" for said in _wrong(row, publics, before, last)]
            numbers[row.request_id], last = row.number, bytes(row.hash)
        head = ReceiptHead.objects.filter(tenant_id=tenant_id).first()
        known = (head.number, bytes(head.hash)) if head else (0, bytes(32))
        if known[0] > count:
            problems.append(f"receipts {count + 1} to {known[0]} are missing")
        elif known != (count, last):
            problems.append(f"the head of the chain is of receipt {known[0]}, and not as receipt {count} is")
        return count, problems


def _wrong(row: Receipt, publics: Mapping[str, bytes], before: int | None, last: bytes) -> Iterator[str]:
    public = publics.get(row.key)
    if public is None:
        yield f"nobody knows its key {row.key}"
    elif not keys.good(public, bytes(row.signature), row.body):
        yield "its signature is not of its body"
    if bytes(row.hash) != body.digest(row.body):
        yield "its hash is not of its body"
    try:
        said = json.loads(row.body)
        wanted = _columns(row, before, last)
        yield from (f"its body says another {name}" for name in wanted if said[name] != wanted[name])
    except (ValueError, KeyError, TypeError):
        yield "its body is not that of a receipt"


def _columns(row: Receipt, before: int | None, last: bytes) -> dict[str, Any]:
    """What the body has to say, going by the other columns and the receipts before it."""
    return {
        "tenant": str(row.tenant_id),
        "number": row.number,
        "request_id": row.request_id,
        "project": str(row.project_id),
        "revision": row.revision,
        "issued_at": body.moment(row.issued_at),
        "supersedes": before,
        "previous": last.hex() if row.number > 1 else None,
    }


def _named(row: Receipt) -> str:
    return f"receipt {row.number} (stream {row.request_id}, revision {row.revision})"
