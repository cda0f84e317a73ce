"""Numbers without gaps: the last one's row is locked until the invoice that has the next one is in. Whoever
is rolled back gives the number back with everything else."""

from __future__ import annotations

from django.db import connection

INVOICES, CREDIT_NOTES = "", "CN"


def next_number(prefix: str, year: int) -> str:
    """`2026-000123` or `CN-2026-000007`. In the transaction that writes the invoice, after the account's
    lock: everybody takes the two in this order."""
    if not connection.in_atomic_block:
        raise RuntimeError("a number is only taken in the transaction that uses it")
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO metering_numberseries AS s (name, last) VALUES (%s, 1) "
            "ON CONFLICT (name) DO UPDATE SET last = s.last + 1 RETURNING last",
            [f"{prefix}{year}"],
        )
        number = cursor.fetchone()[0]
    return "-".join(filter(None, (prefix, str(year), f"{number:06d}")))
