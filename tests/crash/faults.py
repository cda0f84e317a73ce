"""What is broken, and how it is brought back."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import redis

from ops.stripe.process import control
from tests.acceptance.stack import Stack, wait_for
from tests.crash.clerk import Clerk, ClerkError

BACK_S = 60.0
EVENTS = "/v1/billing/meter_events"
HOUR_S = 3600


@dataclass(frozen=True)
class Scene:
    stack: Stack
    clerk: Clerk


@dataclass(frozen=True)
class Row:
    name: str
    break_: Callable[[Scene], None]
    back: Callable[[Scene], None] = lambda scene: None


def _killed(service: str, how: signal.Signals = signal.SIGKILL) -> Callable[[Scene], None]:
    def break_(scene: Scene) -> None:
        pid = scene.stack.pids[service]
        if how is signal.SIGKILL:
            os.killpg(pid, how)  # with what it has started, as when a machine goes
        else:
            os.kill(pid, how)
        wait_for(lambda: scene.stack.pids.get(service) not in (None, pid), BACK_S, f"{service} to be back")

    return break_


def _flushed(scene: Scene) -> None:
    with redis.from_url(scene.stack.environ["REDIS_URL"]) as client:
        client.flushall()


def _trouble(**fault: object) -> Callable[[Scene], None]:
    """The next meter events meet this, while they are being sent."""

    def break_(scene: Scene) -> None:
        url = scene.stack.facts["stripe_url"]
        control(url, "faults", {"path": EVENTS, "method": "POST", **fault})
        wait_for(lambda: _send(scene) and not control(url, "faults")["faults"], BACK_S, "it to be met")

    return break_


def _down(scene: Scene) -> None:
    url = scene.stack.facts["stripe_url"]
    control(url, "down")
    # Somebody has tried, and knows not what became of it.
    wait_for(lambda: (_send(scene) or {}).get("tried"), BACK_S, "somebody to try")


def _an_hour_later(scene: Scene) -> None:
    url = scene.stack.facts["stripe_url"]
    control(url, "clock", {"advance": HOUR_S})
    control(url, "up")


def _send(scene: Scene) -> dict[str, int] | None:
    with suppress(ClerkError):
        said: dict[str, int] = scene.clerk.ask("send")
        return said
    return None


ROWS = [
    Row("gateway killed", _killed("gateway")),
    Row("worker killed", _killed("worker")),
    Row("Celery worker killed", _killed("celery")),
    Row("Valkey killed", _killed("valkey")),
    Row("Valkey flushed", _flushed),
    Row("PostgreSQL restarted", _killed("postgres", signal.SIGINT)),
    Row("Stripe 500 before", _trouble(kind="status", status=500, when="before", times=2)),
    Row("Stripe 500 after", _trouble(kind="status", status=500, when="after", times=2)),
    Row("Stripe times out", _trouble(kind="delay", seconds=25, when="after", times=1)),
    Row("Stripe 429", _trouble(kind="status", status=429, retry_after=1, times=2)),
    Row("Stripe down an hour", _down, _an_hour_later),
]
