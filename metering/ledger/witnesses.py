"""What has left the house says what the ledger was: each invoice has the hash of its last entry, and each
receipt is signed with a key that is not in the database. A ledger that was written anew from some entry to
its end, with its head, agrees with itself; it does not agree with these."""

from __future__ import annotations

from uuid import UUID

from django.db import connection

_INVOICES = """
SELECT last_seq, number, document->'ledger'->>'head'
FROM metering_invoice WHERE tenant_id = %s
"""
# The body is taken apart as the text that it is: one that is JSON no more must not keep all else from being
# looked at. A name in it has its quotes escaped, so no name can look like this.
# A stream that is due has a receipt that may be of before what the ledger says now. One that is not has been
# settled: by its entry in the request log or by its entries, which the look through the ledger has noted.
_RECEIPTS = """
WITH head AS (
    SELECT h.ledger_seq, h.ledger_seq >= a.last_seq AS all_noted
    FROM metering_receipthead h JOIN metering_account a USING (tenant_id) WHERE h.tenant_id = %(tenant)s
), last AS (
    SELECT DISTINCT ON (request_id) request_id, number,
        substring(body FROM '"ms":(-?[0-9]{1,18}),"number":')::bigint AS ms
    FROM metering_receipt WHERE tenant_id = %(tenant)s ORDER BY request_id, revision DESC
), booked AS (
    SELECT request_id, sum(ms)::bigint AS ms FROM metering_ledgerentry, head
    WHERE tenant_id = %(tenant)s AND from_ms IS NOT NULL AND seq <= head.ledger_seq GROUP BY request_id
)
SELECT l.number, l.request_id, l.ms, COALESCE(b.ms, 0)
FROM last l CROSS JOIN head LEFT JOIN booked b USING (request_id)
WHERE l.ms IS DISTINCT FROM COALESCE(b.ms, 0)
  AND (b.ms IS NOT NULL OR head.all_noted AND EXISTS (
      SELECT 1 FROM metering_request r WHERE r.tenant_id = %(tenant)s AND r.request_id = l.request_id))
  AND NOT EXISTS (
      SELECT 1 FROM metering_receiptdue d WHERE d.tenant_id = %(tenant)s AND d.request_id = l.request_id)
ORDER BY l.number LIMIT %(limit)s
"""


def of_invoices(tenant_id: UUID) -> dict[int, list[tuple[str, str]]]:
    """By the entry that each was made up to: its number, and the hash of that entry in hex."""
    found: dict[int, list[tuple[str, str]]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_INVOICES, [tenant_id])
        for seq, number, head in cursor.fetchall():
            found.setdefault(seq, []).append((number, head))
    return found


def of_receipts(tenant_id: UUID, limit: int) -> list[str]:
    """The receipts that do not say what the ledger says of their streams."""
    with connection.cursor() as cursor:
        cursor.execute(_RECEIPTS, {"tenant": tenant_id, "limit": limit})
        return [
            f"receipt {number} says {said} ms of {request_id}, the ledger {booked} ms"
            for number, request_id, said, booked in cursor.fetchall()
        ]
