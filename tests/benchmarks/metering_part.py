"""The parts of `metering_ingest` that need Django. Each answers with a line of JSON.

python -m tests.benchmarks.metering_part batch PROCESS EVENTS [old]    one part, in a process of its own
python -m tests.benchmarks.metering_part                               those that come as lines of JSON
"""

from __future__ import annotations

import json
import os
import sys
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import redirect_stdout
from datetime import UTC, datetime
from statistics import median
from typing import Any

BATCH, OF_A_STREAM, RANGE_MS, TENANTS = 1000, 50, 3000, 10
# Of a hundred events so many come a second time, later.
REPEATED = 10
SLUG = "bench"


def prepare() -> dict[str, Any]:
    """Tables, and tenants whose usage costs something."""
    from django.core.management import call_command

    from metering.demo import LINES
    from metering.plans import create_version
    from tenants import services
    from tenants.models import Plan
    from tenants.scope import staff_scope

    call_command("migrate", verbosity=0)
    for number in range(TENANTS):
        services.create_tenant(f"Bench {number}", f"{SLUG}-{number}")
    with staff_scope():
        plan = Plan.objects.get(slug="default")
    create_version(plan, None, "USD", LINES)
    return {"tenants": TENANTS}


def tenants() -> list[str]:
    from tenants.models import Tenant
    from tenants.scope import staff_scope

    with staff_scope():
        return [str(pk) for pk in Tenant.objects.order_by("slug").values_list("id", flat=True)]


def events(name: str, many: int, whose: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Those of many streams as they come: each in its order, all mixed, some repeated a little later."""
    project = str(uuid.uuid4())
    streams = max(1, many // OF_A_STREAM)
    late: list[dict[str, Any]] = []
    for number in range(many):
        stream, place = number % streams, number // streams
        event = {
            "tenant": whose[stream % len(whose)], "project": project, "key": project,
            "stream": f"{name}-{stream}", "from_ms": place * RANGE_MS, "to_ms": (place + 1) * RANGE_MS,
            "model": "parakeet", "region": "eu", "worker": "worker-1", "tags": ["call", "bench"],
            "kind": "live", "processed_at": datetime.now(UTC).isoformat(), "source": "gateway",
        }  # fmt: skip
        yield event
        if number % 100 < REPEATED:
            late.append(event)
        if len(late) == REPEATED * 20:
            yield from late
            late = []
    yield from late


def batches(name: str, many: int, size: int) -> list[list[dict[str, Any]]]:
    all_of_them = list(events(name, many, tenants()))
    return [all_of_them[at : at + size] for at in range(0, len(all_of_them), size)]


def batch(process: str, many: str, old: str = "") -> dict[str, Any]:
    """The batch path alone; `old` is Django's bulk_create, which knows neither overlaps nor a ledger."""
    from metering.events import parse
    from metering.recording import record

    work = [[parse(raw) for raw in one] for one in batches(f"{old or 'new'}-{process}", int(many), BATCH)]
    store = _bulk_create if old else record
    store(work.pop())
    began = time.time()
    for one in work:
        store(one)
    return {"events": sum(map(len, work)), "began": began, "ended": time.time()}


def _bulk_create(found: Sequence[Any]) -> None:
    from itertools import groupby

    from metering.models import UsageEvent
    from tenants.scope import tenant_scope

    for tenant, group in groupby(
        sorted(found, key=lambda event: event.tenant), key=lambda event: event.tenant
    ):
        rows = [
            UsageEvent(
                tenant_id=event.tenant, project_id=event.project, key_id=event.key, event_id=event.event_id,
                stream=event.stream, from_ms=event.from_ms, to_ms=event.to_ms, kind=event.kind,
                model=event.model, region=event.region, worker=event.worker, tags=list(event.tags),
            )
            for event in group
        ]  # fmt: skip
        with tenant_scope(uuid.UUID(tenant)):
            UsageEvent.objects.bulk_create(rows, ignore_conflicts=True)


def post() -> dict[str, Any]:
    """How quickly what waits is put into the ledger, by one process."""
    from metering.ledger.post import post_due

    began, posted = time.time(), 0
    while now := post_due(limit=2000):
        posted += now
    return {"events": posted, "began": began, "ended": time.time()}


def send(name: str, many: str, size: str, rate: str) -> dict[str, Any]:
    """Events to Celery as the gateway hands them over; `rate` a second, or 0: as quickly as it goes."""
    from metering.tasks import record_usage

    work = batches(name, int(many), int(size))
    began = time.time()
    for number, one in enumerate(work):
        if float(rate):
            time.sleep(max(0.0, began + number * int(size) / float(rate) - time.time()))
            for event in one:
                event["processed_at"] = datetime.now(UTC).isoformat()
        record_usage.apply_async((one,), retry=False, ignore_result=True)
    return {"events": sum(map(len, work)), "began": began, "ended": time.time()}


def costs(many: str) -> dict[str, Any]:
    """What an event costs, stored and posted, with the tables as they are: the median batch."""
    from metering.events import parse
    from metering.ledger.post import post_due
    from metering.recording import record

    work = [[parse(raw) for raw in one] for one in batches(uuid.uuid4().hex, int(many), BATCH)]
    record(work.pop())
    post()
    stored, posted = [], []
    for one in work:
        began = time.perf_counter()
        record(one)
        middle = time.perf_counter()
        while post_due(limit=2000):
            pass
        stored.append((middle - began) / len(one))
        posted.append((time.perf_counter() - middle) / len(one))
    return {"record_us": median(stored) * 1e6, "post_us": median(posted) * 1e6}


def delays(name: str) -> dict[str, Any]:
    """Seconds from when a gateway said it to when it stood in the ledger."""
    from metering.models import LedgerEntry
    from tenants.scope import staff_scope

    with staff_scope():
        found = LedgerEntry.objects.filter(stream__startswith=f"{name}-").values_list("at", "processed_at")
        return {"seconds": sorted((at - processed_at).total_seconds() for at, processed_at in found)}


def grow(rows: str) -> dict[str, Any]:
    from tests.benchmarks import metering_grow

    return metering_grow.grow(int(rows))


PARTS = {part.__name__: part for part in (prepare, batch, post, send, grow, costs, delays)}


def start() -> None:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    import config.celery  # noqa: F401 - whose broker the tasks are to know


def main(commands: Iterable[Sequence[str]]) -> None:
    start()
    for name, *given in commands:
        with redirect_stdout(sys.stderr):  # what a command of Django prints is no answer
            answer = PARTS[name](*given)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main([sys.argv[1:]] if sys.argv[1:] else map(json.loads, sys.stdin))
