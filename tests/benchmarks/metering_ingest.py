"""What usage costs on its way: events a second, from Celery to PostgreSQL and by the batch path alone, into
the ledger, what an event costs as the ledger grows, and how long it takes from audio to ledger.

In a PostgreSQL that writes through to its disk, and a Valkey. Of a hundred events ten come twice. Beside the
batch path stands, in the same run, what Django's own bulk_create does with the same events: no overlaps, no
ledger.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg

from ops.local import ports, postgres, valkey
from tests.benchmarks import machine

ROWS = (10_000, 100_000, 1_000_000)
PROCESSES = 2
EVENTS = 60_000  # of each process
CELERY_EVENTS = 60_000
GATEWAYS_BATCH = 500  # what a gateway hands over at once, where much waits
COST_EVENTS = 20_000
STEADY_PER_S, STEADY_S = 200.0, 30.0
BATCH_TARGET, CELERY_TARGET, DELAY_TARGET_S = 20_000.0, 5_000.0, 5.0
PATIENCE_S = 300.0
STORED = "SELECT count(*) FROM metering_usageevent"
UNPOSTED = "SELECT EXISTS (SELECT 1 FROM metering_unposted)"

Answer = dict[str, Any]


def run(rows: Sequence[int] = ROWS, events: int = EVENTS) -> dict[str, Any]:
    print(
        f"metering_ingest: {PROCESSES} processes with {events} events each, a tenth of them repeated; "
        f"then the ledger with {' '.join(map(str, rows))} rows (rows=10000,10000000 chooses)."
    )
    return measure(rows, events, celery_events=max(1000, min(CELERY_EVENTS, events)), steady_s=STEADY_S)


def measure(
    rows: Sequence[int], events: int, *, celery_events: int, steady_s: float, cost_events: int = COST_EVENTS
) -> dict[str, Any]:
    with _servers() as bench:
        bench.part("prepare")
        old = bench.at_once("batch", str(max(1000, events // 5)), "old")
        batch = bench.at_once("batch", str(events))
        posting = _rate([bench.part("post")])
        print(f"{old:12,.0f} events/s  Django's bulk_create, {PROCESSES} processes")
        print(f"{batch:12,.0f} events/s  the batch path, {PROCESSES} processes (target {BATCH_TARGET:,.0f})")
        print(f"{posting:12,.0f} events/s  into the ledger, one process, nothing else at work")
        with bench.celery():
            _through_celery(bench, GATEWAYS_BATCH, "first")  # until it has started
            celery, ledger = _through_celery(bench, celery_events)
            print(f"{celery:12,.0f} events/s  through Celery into PostgreSQL (target {CELERY_TARGET:,.0f})")
            print(f"{ledger:12,.0f} events/s  until the last of them is in the ledger")
            delays = _delays(bench, steady_s)
        print(
            f"From a gateway's event to its ledger entry, {STEADY_PER_S:.0f} events/s: median "
            f"{delays['median_s']:.2f} s, p95 {delays['p95_s']:.2f} s (target {DELAY_TARGET_S:.0f} s). An "
            "event is emitted every USAGE_EVERY_SECONDS of audio; its oldest audio waits so much longer."
        )
        growth = [_cost(bench, size, cost_events) for size in sorted(rows)]
    return {
        "old_events_per_s": old, "batch_events_per_s": batch, "posted_events_per_s": posting,
        "celery_events_per_s": celery, "celery_to_ledger_events_per_s": ledger, **delays, "growth": growth,
    }  # fmt: skip


class Bench:
    def __init__(self, environ: dict[str, str], folder: Path) -> None:
        self.environ, self.folder = environ, folder
        self._one_by_one = self.start()  # for what has the machine to itself: to start Django takes seconds

    def start(self, *command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.metering_part", *command], cwd=machine.ROOT,
            env=self.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def part(self, *command: str) -> Answer:
        process = self._one_by_one
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(command) + "\n")
        process.stdin.flush()
        said = process.stdout.readline()
        if not said:
            raise machine.CannotMeasure(f"its part {command[0]} ended with status {process.wait()}")
        answer: Answer = json.loads(said)
        return answer

    def close(self) -> None:
        with self._one_by_one as process:
            process.kill()

    def at_once(self, name: str, *rest: str) -> float:
        """Events a second of as many processes as there are."""
        parts = [self.start(name, str(number), *rest) for number in range(PROCESSES)]
        return _rate([_answer(part) for part in parts])

    def one(self, query: str) -> Any:
        """What staff see: polling by a process of its own each time would be the load that is measured."""
        with psycopg.connect(self.environ["DATABASE_URL"], autocommit=True) as connection:
            connection.execute("SET ROLE stenogate_app_staff")
            row = connection.execute(query).fetchone()
        return row[0] if row else None

    @contextmanager
    def celery(self) -> Iterator[None]:
        log = (self.folder / "celery.log").open("w")
        process = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "config.celery", "worker", "--beat", "--schedule",
             str(self.folder / "schedule"), "--concurrency", str(PROCESSES), "--loglevel", "WARNING"],
            cwd=machine.ROOT, env=self.environ, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            log.close()


def _through_celery(bench: Bench, many: int, name: str = "celery") -> tuple[float, float]:
    """Until all are stored, and until all are in the ledger; the sender counts as part of it."""
    before = bench.one(STORED)
    sender = bench.start("send", name, str(many), str(GATEWAYS_BATCH), "0")
    stored = None
    ends = time.monotonic() + PATIENCE_S
    while time.monotonic() < ends:
        time.sleep(0.1)
        if sender.poll():
            _answer(sender)
        at = time.time()
        if stored is None and bench.one(STORED) - before >= many:
            stored = at
        if stored is not None and not bench.one(UNPOSTED):
            sent = _answer(sender)
            return sent["events"] / (stored - sent["began"]), sent["events"] / (at - sent["began"])
    sender.kill()
    raise machine.CannotMeasure(f"Celery had not stored and posted {many} events in {PATIENCE_S:.0f} s")


def _delays(bench: Bench, seconds: float) -> Answer:
    many = int(STEADY_PER_S * seconds)
    bench.part("send", "steady", str(many), "10", str(STEADY_PER_S))
    ends = time.monotonic() + PATIENCE_S
    while bench.one(UNPOSTED) and time.monotonic() < ends:
        time.sleep(0.1)
    found = bench.part("delays", "steady")["seconds"]
    if not found:
        raise machine.CannotMeasure("nothing came into the ledger")
    return {"median_s": found[len(found) // 2], "p95_s": found[int(len(found) * 0.95)], "entries": len(found)}


def _cost(bench: Bench, size: int, events: int) -> Answer:
    there = bench.part("grow", str(size))["ledger_rows"]
    row = {"rows": size, "ledger_rows": there, **bench.part("costs", str(events))}
    print(
        f"{there:12,} rows: {row['record_us']:6.0f} us to store an event, {row['post_us']:6.0f} us to post it"
    )
    return row


def _rate(answers: Sequence[Answer]) -> float:
    took = max(answer["ended"] for answer in answers) - min(answer["began"] for answer in answers)
    return float(sum(answer["events"] for answer in answers) / took)


def _answer(process: subprocess.Popen[str]) -> Answer:
    out, _ = process.communicate()
    if process.returncode:
        raise machine.CannotMeasure(f"a part of it ended with status {process.returncode}")
    answer: Answer = json.loads(out.splitlines()[-1])
    return answer


@contextmanager
def _servers() -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="stenogate-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # else the user that PostgreSQL runs as could not enter it
        database = postgres.start(folder / "postgres", ports.free_port(), durable=True)
        try:
            port = ports.free_port()
            broker = valkey.start(folder / "valkey", port, durable=True)
            try:
                path = os.pathsep.join((str(machine.ROOT / "platform"), str(machine.ROOT)))
                environ = {
                    **os.environ, "SECRET_KEY": "only-to-measure-" * 4, "DATABASE_URL": database.url,
                    "REDIS_URL": valkey.url(port), "PYTHONPATH": path,
                }  # fmt: skip
                with closing(Bench(environ, folder)) as bench:
                    yield bench
            finally:
                broker.stop()
        finally:
            database.stop()
