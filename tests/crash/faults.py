"""What is broken, and how it is brought back."""

from __future__ import annotations

import os
import signal
import urllib.request
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
    back: Callable[[Scene], None] | None = None  # nothing, where it comes back while it is broken


def _killed(service: str, how: signal.Signals = signal.SIGKILL) -> Callable[[Scene], None]:
    def break_(scene: Scene) -> None:
        pid = scene.stack.pids[service]
        if how is signal.SIGKILL:
            os.killpg(pid, how)  # with what it has started, as when a machine goes
        else:
            os.kill(pid, how)
        wait_for(lambda: scene.stack.pids.get(service) not in (None, pid), BACK_S, f"{service} to be back")

    return break_


def _hangs(service: str, given_up: Callable[[Scene], bool]) -> Callable[[Scene], None]:
    """It stands still until others have given it up, then goes on as if nothing had been."""

    def break_(scene: Scene) -> None:
        pid = scene.stack.pids[service]
        os.killpg(pid, signal.SIGSTOP)
        try:
            wait_for(lambda: given_up(scene), BACK_S, f"somebody to miss {service}")
        finally:
            os.killpg(pid, signal.SIGCONT)

    return break_


def _no_workers(scene: Scene) -> bool:
    return scene.stack.health()[0] == 503


def _no_streams(scene: Scene) -> bool:
    """The worker has let go of all."""
    port = scene.stack.environ["WORKER_PORT"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as page:
        return "\nworker_active_streams 0.0\n" in page.read().decode()


def _all_killed(scene: Scene) -> None:
    """Whatever is ours, at the same moment, and the broker with it."""
    before = scene.stack.pids
    ours = ("gateway", "worker", "celery", "callbacks", "valkey")
    for service in ours:
        os.killpg(before[service], signal.SIGKILL)
    wait_for(
        lambda: all(scene.stack.pids.get(name) not in (None, before[name]) for name in ours), BACK_S,
        "all to be back",
    )  # fmt: skip


def _flushed(scene: Scene) -> None:
    with redis.from_url(scene.stack.environ["REDIS_URL"]) as client:
        client.flushall()


def _while_it_sends(service: str) -> Callable[[Scene], None]:
    """Killed between the provider's taking an event and its answer, which comes late."""
    kill = _killed(service)

    def break_(scene: Scene) -> None:
        url = scene.stack.facts["stripe_url"]
        control(
            url, "faults", {"path": EVENTS, "method": "POST", "kind": "delay", "seconds": 5, "when": "after"}
        )
        wait_for(lambda: scene.clerk.ask("hand_over"), BACK_S, "something to be sent")
        wait_for(lambda: not control(url, "faults")["faults"], BACK_S, "an event to be sent")
        kill(scene)

    return break_


def _trouble(answer_s: float | None = None, **fault: object) -> Callable[[Scene], None]:
    """The next meter events meet this, while they are being sent. `answer_s`: how long an answer is waited
    for."""

    def break_(scene: Scene) -> None:
        url = scene.stack.facts["stripe_url"]
        control(url, "faults", {"path": EVENTS, "method": "POST", **fault})
        wait_for(
            lambda: _send(scene, answer_s) and not control(url, "faults")["faults"], BACK_S, "it to be met"
        )

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


def _send(scene: Scene, answer_s: float | None = None) -> dict[str, int] | None:
    with suppress(ClerkError):
        said: dict[str, int] = scene.clerk.ask("send", answer_s=answer_s)
        return said
    return None


ROWS = [
    Row("gateway killed", _killed("gateway")),
    Row("worker killed", _killed("worker")),
    Row("worker hangs", _hangs("worker", _no_workers)),
    Row("gateway hangs", _hangs("gateway", _no_streams)),
    Row("Celery worker killed", _killed("celery")),
    Row("payments worker killed", _while_it_sends("callbacks")),
    Row("Valkey killed", _killed("valkey")),
    Row("Valkey flushed", _flushed),
    Row("PostgreSQL restarted", _killed("postgres", signal.SIGINT)),
    Row("PostgreSQL crashed", _killed("postgres", signal.SIGQUIT)),
    Row("Stripe killed", _killed("stripe")),
    Row("all at once", _all_killed),
    Row("Stripe 500 before", _trouble(kind="status", status=500, when="before", times=2)),
    Row("Stripe 500 after", _trouble(kind="status", status=500, when="after", times=2)),
    Row("Stripe times out", _trouble(answer_s=2, kind="delay", seconds=4, when="after", times=1)),
    Row("Stripe 429", _trouble(kind="status", status=429, retry_after=1, times=2)),
    Row("Stripe down an hour", _down, _an_hour_later),
]
