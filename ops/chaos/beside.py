"""A gateway or a worker of our own beside those of `make run`, told the same but for what is changed:
what is broken where the running one could not be told anything else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from ops.chaos.demo import BACK_S, Demo
from ops.chaos.errors import ChaosError
from ops.local import ports, stack
from ops.local.running import MARK

STOP_S = 20.0


@dataclass
class Beside:
    url: str
    process: subprocess.Popen[bytes]

    def signal(self, how: signal.Signals) -> None:
        self.process.send_signal(how)


@contextmanager
def gateway(demo: Demo, **changed: str) -> Iterator[Beside]:
    with _running(demo, "gateway", "gateway.server", "GATEWAY_PORT", changed) as found:
        yield found


@contextmanager
def worker(demo: Demo, name: str) -> Iterator[Beside]:
    with _running(demo, "worker", "inference_worker", "WORKER_PORT", {"WORKER_NAME": name}) as found:
        yield found


@contextmanager
def _running(
    demo: Demo, what: str, module: str, port_name: str, changed: Mapping[str, str]
) -> Iterator[Beside]:
    port = ports.free_port()
    environ = {
        **os.environ,
        **demo.environ,
        "DJANGO_SETTINGS_MODULE": "config.settings",
        port_name: str(port),
        # Should we be killed, `make stop` finds it.
        MARK: str(demo.paths.var.resolve()),
        **changed,
    }
    with (demo.paths.log / f"chaos-{what}.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", module],
            cwd=stack.ROOT, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + BACK_S
        while not _answers(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise ChaosError(f"a {what} beside the running one did not start; its log: {log.name}")
            time.sleep(0.1)
        yield Beside(url, process)
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
            process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(url: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(f"{url}/healthz", timeout=5) as page:  # noqa: S310
        return bool(page.status == 200)
    return False
