"""How long a night's reconciliation takes: many tenants, many events, a few of which differ.

In a PostgreSQL of its own. The rows are generated in SQL: of every stream the same ranges in the usage
record, the ledger and the inference log, but for some that are lost or double.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from statistics import median
from typing import Any

from ops.local import postgres
from tests.benchmarks import machine

TENANTS, EVENTS_OF_A_TENANT, EVENTS_OF_A_STREAM = 1000, 1000, 50
TARGET_S, ROUNDS = 60.0, 3
DAY = date(2026, 11, 20)
RANGE_MS = 5000
# One stream in so many has lost a range, and another has one too much.
ODD_EVERY = 500

SETTINGS = {"SECRET_KEY": "only-to-measure-" * 4, "REDIS_URL": "redis://127.0.0.1:1/0"}

TENANTS_SQL = """
INSERT INTO tenants_tenant ({names})
SELECT {values} FROM generate_series(1, %(tenants)s) n, (SELECT * FROM tenants_tenant LIMIT 1) t
"""
# Of each event its tenant, stream and range; a stream is a tenant's, a whole hour's at most.
EVENT_SQL = """CREATE TABLE bench_event (
    tenant_id uuid, stream_n bigint, stream text, from_ms bigint, to_ms bigint, at timestamptz)"""
EVENTS_SQL = """
INSERT INTO bench_event
SELECT t.id AS tenant_id, t.n * (%(events)s / %(of_stream)s) + e / %(of_stream)s AS stream_n,
       'bench-' || t.n || '-' || e / %(of_stream)s AS stream,
       (e %% %(of_stream)s)::bigint * %(range)s AS from_ms,
       (e %% %(of_stream)s + 1)::bigint * %(range)s AS to_ms,
       %(day)s::timestamptz + (e / %(of_stream)s %% 20) * interval '1 hour'
           + (e %% %(of_stream)s) * interval '5 seconds' AS at
FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM tenants_tenant) t,
     generate_series(0, %(events)s - 1) e
"""
FILL_SQL = [
    """INSERT INTO metering_usageevent (tenant_id, project_id, key_id, event_id, stream, from_ms, to_ms, kind,
    model, region, worker, tags, processed_at, source, recorded_at)
    SELECT tenant_id, tenant_id, tenant_id, stream || ':' || from_ms, stream, from_ms, to_ms, 'live', 'm',
    'r', 'w', '{}', at, 'gateway', at FROM bench_event""",
    """INSERT INTO metering_inferencelog (log, worker, region, shipped, complete_until, closed, seen_at)
    VALUES ('00000000-0000-0000-0000-000000000001', 'w', 'r', 1, now(), true, now())""",
    """INSERT INTO metering_inferencerecord (tenant_id, project_id, key_id, stream, epoch, from_ms, to_ms,
    settled, kind, model, region, worker, tags, processed_at, log, seq, recorded_at)
    SELECT tenant_id, tenant_id, tenant_id, stream, 1, from_ms, to_ms, false, 'live', 'm', 'r', 'w', '{}', at,
    '00000000-0000-0000-0000-000000000001', row_number() OVER (), at FROM bench_event""",
]
# The ledger's are made by the posting itself, then some of the log is added and some is taken away.
ODD_SQL = [
    """INSERT INTO metering_inferencerecord (tenant_id, project_id, key_id, stream, epoch, from_ms, to_ms,
    settled, kind, model, region, worker, tags, processed_at, log, seq, recorded_at)
    SELECT tenant_id, tenant_id, tenant_id, stream, 1, max(to_ms), max(to_ms) + 777, false, 'live', 'm', 'r',
    'w', '{}', max(at), '00000000-0000-0000-0000-000000000001', -%(round)s * 1000000 - row_number() OVER (),
    max(at) FROM bench_event WHERE stream_n %% %(every)s = %(round)s GROUP BY tenant_id, stream""",
    """INSERT INTO metering_inferencerecord (tenant_id, project_id, key_id, stream, epoch, from_ms, to_ms,
    settled, kind, model, region, worker, tags, processed_at, log, seq, recorded_at)
    SELECT tenant_id, tenant_id, tenant_id, stream, 1, max(to_ms) - 777, max(to_ms) - 777, true, 'live', 'm',
    'r', 'w', '{}', max(at), '00000000-0000-0000-0000-000000000001',
    -%(round)s * 1000000 - 500000 - row_number() OVER (), max(at)
    FROM bench_event WHERE (stream_n + %(every)s / 2) %% %(every)s = %(round)s GROUP BY tenant_id, stream""",
]


def run(rounds: int = ROUNDS) -> dict[str, Any]:
    return measure(TENANTS, EVENTS_OF_A_TENANT, rounds)


def measure(tenants: int, events: int, rounds: int, odd_every: int = ODD_EVERY) -> dict[str, Any]:
    print(
        f"reconcile: {tenants} tenants, {tenants * events} events of a day, in the usage record and in the "
        f"inference log; one stream in {odd_every} has lost something, as many have too much."
    )
    with _database() as environ:
        given = map(str, (tenants, events, rounds, odd_every))
        done = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.reconcile", *given],
            cwd=machine.ROOT, env=environ, stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    figures["median_s"] = median(figures["seconds"])
    print(f"posting all of it first: {figures['posting_s']:.1f} s")
    for seconds, mended in zip(figures["seconds"], figures["mended"], strict=True):
        print(f"{seconds:7.1f} s, {mended} differences found and mended")
    print(f"{figures['again_s']:7.1f} s once more, nothing differs")
    verdict = "met" if figures["median_s"] <= TARGET_S else "missed"
    print(f"Median {figures['median_s']:.1f} s; the target of {TARGET_S:.0f} s is {verdict}.")
    return {**figures, "tenants": tenants, "events": tenants * events, "target": verdict}


@contextmanager
def _database() -> Iterator[dict[str, str]]:
    with postgres.temporary() as server:
        path = os.pathsep.join((str(machine.ROOT / "platform"), str(machine.ROOT)))
        yield {**os.environ, **SETTINGS, "DATABASE_URL": server.url, "PYTHONPATH": path}


# ---- in a process of its own


def main(tenants: int, events: int, rounds: int, odd_every: int) -> dict[str, Any]:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup()
    from django.core.management import call_command

    from metering import reconcile

    call_command("migrate", verbosity=0)
    _fill(tenants, events)
    began = time.perf_counter()
    first = reconcile.run(DAY)
    posting_s = time.perf_counter() - began
    if first.summary["differences"]:
        raise RuntimeError(f"what was generated differs: {first.summary}")
    seconds, mended = [], []
    for number in range(1, rounds + 1):
        _owner(*ODD_SQL, round=number, every=odd_every)
        began = time.perf_counter()
        done = reconcile.run(DAY)
        seconds.append(round(time.perf_counter() - began, 2))
        mended.append(done.summary["differences"])
        if done.summary["left"] or not done.summary["differences"]:
            raise RuntimeError(f"it should have found some, and mended them: {done.summary}")
    began = time.perf_counter()
    last = reconcile.run(DAY)
    if last.summary["differences"]:
        raise RuntimeError(f"a second run found something: {last.summary}")
    again_s = round(time.perf_counter() - began, 2)
    return {"seconds": seconds, "mended": mended, "posting_s": round(posting_s, 2), "again_s": again_s}


def _fill(tenants: int, events: int) -> None:
    from tenants import services
    from tenants.models import Tenant

    services.create_tenant("One", "one")
    given = {
        "id": "gen_random_uuid()", "slug": "'bench-' || n", "name": "'Bench ' || n",
    }  # fmt: skip
    columns = [field.column for field in Tenant._meta.concrete_fields]
    values = ", ".join(given.get(column, f"t.{column}") for column in columns)
    _owner(TENANTS_SQL.format(names=", ".join(columns), values=values), tenants=tenants - 1)
    _owner(EVENT_SQL)
    _owner(EVENTS_SQL, events=events, of_stream=EVENTS_OF_A_STREAM, range=RANGE_MS, day=DAY)
    _owner(*FILL_SQL)
    _owner(
        "INSERT INTO metering_unposted (event_id, tenant_id) SELECT id, tenant_id FROM metering_usageevent"
    )
    _owner("ANALYZE")


def _owner(*statements: str, **given: object) -> None:
    """As staff: row-level security is the same as in earnest."""
    from django.db import connection

    from tenants.database import as_owner, staff_role

    with as_owner(connection), connection.cursor() as cursor:
        for statement in statements:
            staff = not statement.startswith(("CREATE", "ANALYZE"))
            cursor.execute(f"SET ROLE {staff_role()}" if staff else "RESET ROLE")
            cursor.execute(statement, given or None)


if __name__ == "__main__":
    print(json.dumps(main(*map(int, sys.argv[1:5]))))
