"""The whole service, started as `make run` starts it, in a folder and on ports of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ops.local import ports
from tests.acceptance import migrated
from tests.acceptance.shell import Shells

ROOT = Path(__file__).parents[2]
START_SECONDS = 150.0
STOP_SECONDS = 60.0
# What a developer or the unit tests have set must not reach the service under test.
OURS = (
    "GATEWAY_", "WORKER_", "DJANGO_", "STENOGATE_", "SECRET_KEY", "DEMO", "DEBUG", "ENGINE", "DATABASE_",
    "STRIPE_",
)  # fmt: skip
# Set and empty: its own servers, whatever .env says.
OWN_SERVERS = {"DATABASE_URL": "", "REDIS_URL": "", "STRIPE_API_KEY": "", "STRIPE_API_BASE": ""}

T = TypeVar("T")


@dataclass(frozen=True)
class Stack:
    var: Path
    process: subprocess.Popen[bytes]
    output: Path
    shells: Shells

    @property
    def facts(self) -> dict[str, Any]:
        """demo.json as it is now: process ids change when a part is started again."""
        status = self.process.poll()
        assert status is None, f"the stack ended with status {status}:\n{self.said}"
        facts: dict[str, Any] = json.loads((self.var / "run" / "demo.json").read_text())
        return facts

    @property
    def said(self) -> str:
        return self.output.read_text()[-4000:]

    @property
    def http_url(self) -> str:
        return str(self.facts["http_url"])

    @property
    def ws_url(self) -> str:
        return str(self.facts["ws_url"])

    @property
    def api_key(self) -> str:
        return str(self.facts["api_key"])

    @property
    def pids(self) -> dict[str, int]:
        return {name: pid for name, pid in self.facts["pids"].items() if name != "supervisor"}

    @property
    def environ(self) -> dict[str, str]:
        """What the gateway was told, so that a management command works on the same database."""
        raw = Path(f"/proc/{self.pids['gateway']}/environ").read_bytes()
        pairs = (entry.partition("=") for entry in raw.decode().split("\0") if entry)
        return {name: value for name, _, value in pairs}

    def health(self) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"{self.http_url}/healthz", timeout=5) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def shell(self, program: str) -> Any:
        """Run Python inside Django against this stack; it hands back JSON with `answer(value)`."""
        return self.shells.run(program, lambda: self.environ)


@contextmanager
def running_stack(settings: Mapping[str, str] | None = None) -> Iterator[Stack]:
    with ExitStack() as leaving:
        # PostgreSQL runs as another user when we are root, so the folders above must let it through.
        folder = Path(leaving.enter_context(tempfile.TemporaryDirectory(prefix="stenogate-")))
        folder.chmod(0o755)
        output = leaving.enter_context((folder / "output.txt").open("wb"))
        gateway, worker = free_ports(2)
        environ = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        environ |= {
            **OWN_SERVERS,
            "GATEWAY_PORT": str(gateway),
            "WORKER_PORT": str(worker),
            **(settings or {}),
        }
        migrated.lend(folder / "var" / "postgres")
        process = subprocess.Popen(
            [sys.executable, "-m", "ops.local", "run", "--var", str(folder / "var")],
            cwd=ROOT, env=environ, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        leaving.callback(_stop, process)
        shells = Shells()
        leaving.callback(shells.close)
        stack = Stack(folder / "var", process, folder / "output.txt", shells)
        ready = (stack.var / "run" / "demo.json").exists
        wait_for(lambda: ready() or process.poll() is not None, START_SECONDS, "the stack to start")
        assert process.poll() is None, f"the stack did not start:\n{stack.said}"
        yield stack


def wait_for(look: Callable[[], T], seconds: float, what: str) -> T:
    """What `look` finds, as soon as it finds something."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"waited {seconds:g} s for {what}"
        time.sleep(0.05)
    return found


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


def free_ports(count: int) -> list[int]:
    found: set[int] = set()
    while len(found) < count:
        found.add(ports.free_port())
    return list(found)
