"""Fills the usage record and the ledger to a size, in SQL: rows as they come from many streams, spread over a
year. They are not chained, so that nobody should verify this ledger."""

from __future__ import annotations

from typing import Any

from django.db import connection

from tenants.database import as_owner

TABLES = ("metering_usageevent", "metering_ledgerentry")
# From so many on it is quicker to make the indexes anew.
REBUILD_FROM = 300_000
STREAM = 50

USAGE = """
INSERT INTO metering_usageevent (tenant_id, project_id, key_id, event_id, stream, from_ms, to_ms, kind, model,
    region, worker, tags, processed_at, source, recorded_at)
SELECT t.id, t.id, t.id, 'grown-' || n / %(stream)s || ':' || n %% %(stream)s * 3000,
    'grown-' || n / %(stream)s, n %% %(stream)s * 3000,
    (n %% %(stream)s + 1) * 3000, 'live', 'parakeet', 'eu', 'worker-1',
    '{call,bench}', now() - interval '360 days' * (1 - n::float / %(most)s), 'gateway', now()
FROM generate_series(%(least)s, %(most)s - 1) n
JOIN (SELECT id, row_number() OVER (ORDER BY slug) - 1 AS place, count(*) OVER () AS many
      FROM tenants_tenant) t ON t.place = n / %(stream)s %% t.many
"""
LEDGER = """
INSERT INTO metering_ledgerentry (tenant_id, seq, kind, at, period, processed_at, project_id, key_id, stream,
    request_id, from_ms, to_ms, ms, usage_kind, model, region, tags, currency, amount, waived, reason,
    reference, previous_hash, hash)
SELECT u.tenant_id, a.last_seq + row_number() OVER (PARTITION BY u.tenant_id ORDER BY u.id), 'usage', now(),
    date_trunc('month', u.processed_at)::date, u.processed_at, u.project_id, u.key_id, u.stream, u.stream,
    u.from_ms, u.to_ms, u.to_ms - u.from_ms, u.kind, u.model, u.region, u.tags, 'USD', 0, 0, '', '',
    decode(repeat('00', 32), 'hex'), decode(repeat('00', 32), 'hex')
FROM metering_usageevent u JOIN metering_account a ON a.tenant_id = u.tenant_id
WHERE u.id > %(after)s
"""
ACCOUNTS = """
INSERT INTO metering_account (id, tenant_id, mode, currency, time_zone, standing, conservative, legal_name,
    address, tax_id, email, customer, last_seq, last_hash, balance, charged, outbox_seq, created_at)
SELECT gen_random_uuid(), id, 'invoice', 'USD', 'UTC', 'good', false, '', '', '', '', '', 0,
    decode(repeat('00', 32), 'hex'), 0, 0, 0, now() FROM tenants_tenant
ON CONFLICT DO NOTHING
"""
HEADS = """
UPDATE metering_account a SET last_seq = l.last FROM (
    SELECT tenant_id, max(seq) AS last FROM metering_ledgerentry GROUP BY tenant_id) l
WHERE l.tenant_id = a.tenant_id
"""
INDEXES = """
SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE conrelid = %s::regclass AND contype IN ('u', 'x')
"""
OTHERS = """
SELECT i.relname, pg_get_indexdef(i.oid) FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
WHERE x.indrelid = %s::regclass AND NOT x.indisprimary
    AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conindid = i.oid)
"""


def grow(rows: int) -> dict[str, Any]:
    """To `rows` rows of the ledger, and of the usage record at least as many."""
    with as_owner(connection), connection.cursor() as cursor:
        for table in (*TABLES, "metering_account", "tenants_tenant"):
            cursor.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
        cursor.execute(ACCOUNTS)
        cursor.execute("SELECT count(*) FROM metering_ledgerentry")
        there = cursor.fetchone()[0]
        cursor.execute("SELECT COALESCE(max(split_part(substr(stream, 7), ':', 1)::bigint), -1) + 1 FROM "
                       "metering_usageevent WHERE stream LIKE 'grown-%%'")  # fmt: skip
        least = cursor.fetchone()[0] * STREAM
        cursor.execute("SELECT COALESCE(max(id), 0) FROM metering_usageevent")
        after = cursor.fetchone()[0]
        missing = max(0, rows - there)
        made = _drop(cursor) if missing >= REBUILD_FROM else []
        if missing:
            cursor.execute(USAGE, {"least": least, "most": least + missing, "stream": STREAM})
            cursor.execute(LEDGER, {"after": after})
        cursor.execute(HEADS)
        for statement in made:
            cursor.execute(statement)
        for table in (*TABLES, "metering_account", "tenants_tenant"):
            cursor.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        cursor.execute("VACUUM ANALYZE metering_usageevent, metering_ledgerentry, metering_account")
        cursor.execute("SELECT count(*) FROM metering_ledgerentry")
        return {"ledger_rows": cursor.fetchone()[0]}


def _drop(cursor: Any) -> list[str]:
    """All indexes but the primary keys; what makes them again."""
    again: list[str] = []
    for table in TABLES:
        cursor.execute(INDEXES, [table])
        for name, definition in cursor.fetchall():
            cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
            again.append(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")
        cursor.execute(OTHERS, [table])
        for name, definition in cursor.fetchall():
            cursor.execute(f"DROP INDEX {name}")
            again.append(definition)
    return again
