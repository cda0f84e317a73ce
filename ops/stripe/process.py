"""The local Stripe as a process of `make run` and of tests."""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ops.local import ports
from ops.local.errors import PortTaken
from ops.local.running import MARK
from ops.local.service import Server, Service, end, spawn, wait_ready

ROOT = Path(__file__).resolve().parents[2]
API_KEY = "sk_test_of_the_local_stripe"  # every key that begins so is taken
WEBHOOK_SECRET = "whsec_of_the_local_stripe"  # noqa: S105


def url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def service(
    file: Path, port: int, *, log: Path, webhook: str = "", secret: str = WEBHOOK_SECRET, mark: str = ""
) -> Service:
    # A run for people is set up as docs/billing-stripe.md asks of Stripe; tests begin with its defaults.
    told = ("--webhook", webhook, "--grace-hours", "72") if webhook else ()

    def before_start() -> None:
        if not ports.is_free(port):
            who = ports.holder(port) or "another process"
            raise PortTaken(f"Port {port}, meant for the local Stripe, is taken by {who}.")

    return Service(
        name="stripe",
        command=(sys.executable, "-m", "ops.stripe", "--port", str(port), "--file", str(file), *told),
        log=log,
        detail=url(port),
        env={"PATH": os.environ.get("PATH", ""), "STRIPE_WEBHOOK_SECRET": secret, MARK: mark},
        cwd=ROOT,
        before_start=before_start,
        ready=lambda: _ready(port),
    )


def _ready(port: int) -> str | None:
    try:
        control(url(port), "clock")
    except OSError as error:
        return str(error)
    return None


def control(base: str, name: str, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What `/_control/<name>` answers."""
    body = json.dumps(given or {}).encode()
    with urllib.request.urlopen(f"{base}/_control/{name}", body, timeout=30) as answer:  # noqa: S310
        found: dict[str, Any] = json.load(answer)
    return found


class LocalStripe:
    """One that runs, for tests: its address, its keys, its `/_control/`, and its death."""

    api_key = API_KEY
    webhook_secret = WEBHOOK_SECRET

    def __init__(self, folder: Path, port: int) -> None:
        self.url = url(port)
        self.base_addresses = dict.fromkeys(("api", "connect", "files", "meter_events"), self.url)
        self._service = service(folder / "stripe.sqlite3", port, log=folder / "stripe.log")
        self._server: Server | None = None
        self.start()

    def start(self) -> None:
        process = spawn(self._service)
        try:
            wait_ready(self._service, process)
        except BaseException:
            end(process, self._service.stop_signal, self._service.stop_timeout)
            raise
        self._server = Server(self._service, process, self.url)

    def kill(self) -> None:
        """kill -9; `start` brings it back with all that it had answered."""
        if self._server:
            self._server.process.kill()
            self._server.process.wait()

    def stop(self) -> None:
        if self._server:
            self._server.stop()

    def control(self, name: str, **given: Any) -> dict[str, Any]:
        return control(self.url, name, given)
