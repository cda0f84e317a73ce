"""One at a time, whoever else is at work: advisory locks of PostgreSQL, which die with their holder. They are
held over a call to the provider, which a transaction must not be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

SPEAKING = 0x73746F75  # of a customer and meter
ASKING = 0x73746F76  # whether a customer owes
RUNNING = 0x73746F77  # a task


@contextmanager
def alone(kind: int, key: str, *, wait: bool = False) -> Iterator[bool]:
    """True for the one who has it. Without `wait` the others are told False at once."""
    with connection.cursor() as cursor:
        if wait:
            cursor.execute("SELECT pg_advisory_lock(%s, hashtext(%s)), true", [kind, key])
        else:
            cursor.execute("SELECT NULL, pg_try_advisory_lock(%s, hashtext(%s))", [kind, key])
        row = cursor.fetchone()
    mine = row is not None and bool(row[1])
    try:
        yield mine
    finally:
        if mine:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s, hashtext(%s))", [kind, key])
