"""A running Stenogate, as `make run` leaves its facts in `var/run/`: addresses, processes, settings."""

from __future__ import annotations

import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psycopg
from prometheus_client.parser import text_string_to_metric_families
from psycopg import sql

from config import env
from ops.chaos import compare
from ops.chaos.client import Heard
from ops.chaos.errors import ChaosError, NotPossible
from ops.local import manage
from ops.local.errors import LocalError
from ops.local.running import Paths, read_json

BACK_S = 90.0
RECORDED_S = 90.0  # what a dead gateway had written down is taken over within a minute
USAGE = "SELECT from_ms, to_ms FROM metering_usageevent WHERE stream = %s"
LEDGER = "SELECT coalesce(sum(ms), 0) FROM metering_ledgerentry WHERE request_id = %s"

T = TypeVar("T")


def wait_for(look: Callable[[], T], seconds: float, what: str) -> T:
    """What `look` finds, as soon as it finds something."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            raise ChaosError(f"waited {seconds:g} s for {what}")
        time.sleep(0.05)
    return found


@dataclass(frozen=True)
class Footprint:
    """What the gateway holds, and the memory of the worker."""

    rss_mb: float
    files: int
    tasks: int
    worker_mb: float


class Demo:
    def __init__(self, var: Path) -> None:
        self.paths = Paths(var)
        try:
            self.environ = manage.told(self.paths)
        except LocalError as error:
            raise ChaosError(str(error)) from None
        if not isinstance(self.facts.get("api_key"), str):
            raise ChaosError("There is no key to call with: it was started without DEMO.")

    @property
    def facts(self) -> dict[str, object]:
        """As they are now: process ids change when a part is started again."""
        return read_json(self.paths.demo)

    @property
    def http_url(self) -> str:
        return str(self.facts["http_url"])

    @property
    def key(self) -> str:
        return str(self.facts["api_key"])

    @property
    def engine(self) -> str:
        return env.ENGINE.read(self.environ)

    @property
    def worker_url(self) -> str:
        return f"http://127.0.0.1:{env.WORKER_PORT.read(self.environ)}"

    @property
    def pids(self) -> dict[str, int]:
        found = self.facts.get("pids")
        return {str(name): int(pid) for name, pid in found.items()} if isinstance(found, dict) else {}

    # ---- processes

    def pid(self, service: str) -> int:
        if service not in self.pids:
            raise NotPossible(f"{service} was not started by `make run`.")
        return self.pids[service]

    def kill(self, service: str, how: signal.Signals = signal.SIGKILL) -> None:
        """It and what it has started, as when a machine goes; the supervisor starts it again."""
        pid = self.pid(service)
        if how is signal.SIGKILL:
            os.killpg(pid, how)
        else:
            os.kill(pid, how)
        wait_for(lambda: self.pids.get(service) not in (None, pid), BACK_S, f"{service} to be back")

    def well(self, url: str = "") -> bool:
        with suppress(OSError), urllib.request.urlopen(f"{url or self.http_url}/healthz", timeout=5) as page:  # noqa: S310
            return b"weak" not in page.read()  # which a gateway bears, and whoever asks PostgreSQL does not
        return False

    def wait_well(self) -> None:
        wait_for(self.well, BACK_S, "everything to be well")

    # ---- what can be measured

    def metrics(self, url: str = "") -> dict[str, float]:
        """By name, all labels together: of a gateway, or of the worker."""
        request = urllib.request.Request(f"{url or self.http_url}/metrics")  # noqa: S310
        if token := env.METRICS_TOKEN.read(self.environ):
            request.add_header("Authorization", f"Bearer {token}")
        with urllib.request.urlopen(request, timeout=5) as page:  # noqa: S310
            text = page.read().decode()
        found: dict[str, float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found[sample.name] = found.get(sample.name, 0.0) + sample.value
        return found

    def streams(self) -> int:
        """That the gateway and the worker hold together."""
        gateway, worker = self.metrics(), self.metrics(self.worker_url)
        return int(gateway["stenogate_gateway_streams_active"] + worker["worker_active_streams"])

    def footprint(self) -> Footprint:
        pid = self.pid("gateway")
        files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        tasks = int(self.metrics()["stenogate_gateway_tasks"])
        return Footprint(_rss_mb(pid), files, tasks, _rss_mb(self.pid("worker")))

    def billed(self, heard: Heard) -> tuple[int, int]:
        """Milliseconds of an ended stream that are billed twice, and that are not billed: as soon as all of
        it is in the ledger, or when that takes too long."""
        deadline, twice_ms, missing_ms = time.monotonic() + RECORDED_S, 0, 0
        for stream in heard.request_ids:
            while True:
                ranges, charged_ms = self._billed(stream)
                recorded_ms = sum(end - start for start, end in ranges)
                if charged_ms == recorded_ms == heard.sent_ms or time.monotonic() > deadline:
                    break
                time.sleep(0.2)
            twice_ms += compare.double_billed_ms(ranges, charged_ms, heard.sent_ms)
            missing_ms += max(0, heard.sent_ms - charged_ms)
        return twice_ms, missing_ms

    def _billed(self, stream: str) -> tuple[list[tuple[int, int]], int]:
        role = env.DATABASE_ROLE.read(self.environ)
        with psycopg.connect(env.DATABASE_URL.read(self.environ), connect_timeout=5) as connection:
            connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(f"{role}_staff")))
            ranges = [(int(start), int(end)) for start, end in connection.execute(USAGE, [stream]).fetchall()]
            row = connection.execute(LEDGER, [stream]).fetchone()
        return ranges, int(row[0]) if row else 0


def _rss_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    rss = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(rss.split()[1]) / 1024
