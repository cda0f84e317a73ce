"""Starts services, sees them die, starts them again with back-off, and ends them in reverse order.

One thread, one loop. A signal only raises a flag that the loop reads, so no exception lands anywhere else.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType

from ops.local.console import Console
from ops.local.errors import StartFailed
from ops.local.logs import keep_bounded, tail
from ops.local.service import Service, end, ended, kill_group, spawn

TICK_S = 0.05
ASK_READY_EVERY_S = 0.2
LOOK_AT_LOGS_EVERY_S = 10.0
SETTLED_AFTER_S = 30.0  # a service that has been ready for this long starts counting its deaths anew
FIRST_BACK_OFF_S, LONGEST_BACK_OFF_S = 0.5, 30.0
DEATHS_AT_START = 3  # in a row, before it ever was ready: it will not come up, so everything stops
DEATHS_LATER = 8
CANNOT_START = " cannot start: "
REFUSED = 2  # the status of a process that has said why it cannot start, and would say it again


class StopRequested(Exception):
    """Ctrl-C, SIGTERM or SIGHUP."""


def back_off(deaths: int) -> float:
    """How long to wait before the start that follows the `deaths`-th death in a row."""
    return float(min(LONGEST_BACK_OFF_S, FIRST_BACK_OFF_S * 2 ** (deaths - 1)))


def refusal(service: Service) -> str:
    """The sentence with which a process ended, from the end of its log."""
    said = tail(service.log)
    _, marker, reason = said.rpartition(CANNOT_START)
    why = f": {reason}" if marker else f".\n{said}"
    return f"{service.name} cannot start{why}\nIts log: {service.log}"


@dataclass
class Child:
    service: Service
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    asked: float = 0.0
    ready_since: float | None = None
    was_ready: bool = False
    deaths: int = 0  # in a row
    start_at: float = 0.0


class Supervisor:
    def __init__(
        self, console: Console, on_change: Callable[[Mapping[str, int]], None] = lambda pids: None
    ) -> None:
        self.console = console
        self.children: list[Child] = []
        self.stops = 0
        self._listeners = [on_change]
        self._logs_looked_at = 0.0

    # ---- signals

    def listen_to_signals(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.stops += 1

    # ---- up

    def up(self, services: Sequence[Service]) -> None:
        """Start them together; return when all are ready."""
        new = [Child(service) for service in services]
        self.children += new
        began = time.monotonic()
        while waiting := [child.service.name for child in new if child.ready_since is None]:
            self.console.doing(f"waiting for {' and '.join(waiting)} ({time.monotonic() - began:.0f} s)")
            self._pause()
            self.tick(time.monotonic())

    def complete(self, service: Service) -> None:
        """Start it and wait for its end, which must be a good one."""
        child = Child(service)
        self._start(child, time.monotonic())
        assert child.process is not None  # noqa: S101
        try:
            while child.process.poll() is None:
                self._pause()
                self.tick(time.monotonic())
                if time.monotonic() - child.started > service.start_timeout:
                    raise StartFailed(f"{service.name} took longer than {service.start_timeout:.0f} s.")
        finally:
            end(child.process, service.stop_signal, service.stop_timeout, self._in_a_hurry)
        if status := child.process.returncode:
            raise StartFailed(f"{service.name} {ended(status)}. Its log: {service.log}\n{tail(service.log)}")

    def watch(self) -> None:
        """Until it is asked to stop."""
        while True:
            self._pause()
            self.tick(time.monotonic())

    def _pause(self) -> None:
        if self.stops:
            raise StopRequested
        time.sleep(TICK_S)
        if self.stops:
            raise StopRequested

    def tick(self, now: float) -> None:
        for child in self.children:
            if child.process is None:
                if now >= child.start_at and not child.service.held():
                    self._start(child, now)
            elif (status := child.process.poll()) is not None:
                if status == REFUSED and not child.was_ready:
                    kill_group(child.process.pid)
                    child.process = None
                    raise StartFailed(refusal(child.service))
                self._died(child, ended(status), now)
            elif child.ready_since is None:
                self._ask(child, child.process, now)
            elif now - child.ready_since > SETTLED_AFTER_S:
                child.deaths = 0
        if now - self._logs_looked_at > LOOK_AT_LOGS_EVERY_S:
            self._logs_looked_at = now
            keep_bounded(child.service.log for child in self.children)

    def _start(self, child: Child, now: float) -> None:
        child.started = now
        child.process = spawn(child.service)
        self._changed()

    def _ask(self, child: Child, process: subprocess.Popen[bytes], now: float) -> None:
        if now - child.asked < ASK_READY_EVERY_S:
            return
        child.asked = now
        missing = child.service.ready()
        if missing is None:
            child.ready_since = now = time.monotonic()
            took = now - child.started
            if child.was_ready:
                self.console.event(f"{self.console.tick} {child.service.name} is back after {took:.1f} s")
            else:
                self.console.done(child.service.name, child.service.detail, took)
            child.was_ready = True
        elif now - child.started > child.service.start_timeout:
            end(process, child.service.stop_signal, child.service.stop_timeout, self._in_a_hurry)
            reason = f"was not ready in {child.service.start_timeout:.0f} s ({missing})"
            if not child.was_ready:
                raise StartFailed(self._obituary(child, reason))
            self._died(child, reason, now)

    def _died(self, child: Child, how: str, now: float) -> None:
        assert child.process is not None  # noqa: S101
        kill_group(child.process.pid)  # what it started goes with it
        at_start = child.ready_since is None
        child.process, child.ready_since = None, None
        child.deaths += 1
        self._changed()
        if child.deaths >= (DEATHS_LATER if child.was_ready else DEATHS_AT_START):
            raise StartFailed(self._obituary(child, f"{how}, {child.deaths} times in a row"))
        wait = back_off(child.deaths)
        child.start_at = now + wait
        self.console.event(
            f"{self.console.cross} {child.service.name} {how}; starting it again in {wait:g} s"
            f" (log: {child.service.log})"
        )
        if at_start and (said := tail(child.service.log, 4)):
            self.console.line(said)

    def _obituary(self, child: Child, how: str) -> str:
        name, log = child.service.name, child.service.log
        return f"{name} {how}. The end of {log}:\n{tail(log)}".rstrip()

    # ---- down

    def down(self) -> None:
        """End what runs, the last started first."""
        already = self.stops
        while self.children:
            child = self.children.pop()
            if child.process is None:
                continue
            self.console.doing(f"stopping {child.service.name}")
            began = time.monotonic()
            in_time = end(
                child.process,
                child.service.stop_signal,
                child.service.stop_timeout,
                lambda: self.stops > already,
            )
            self.console.done(
                child.service.name, "stopped" if in_time else "killed", time.monotonic() - began
            )

    def _in_a_hurry(self) -> bool:
        return self.stops > 1

    @property
    def pids(self) -> dict[str, int]:
        return {child.service.name: child.process.pid for child in self.children if child.process}

    def _changed(self) -> None:
        for listener in self._listeners:
            listener(self.pids)

    def on_change(self, listener: Callable[[Mapping[str, int]], None]) -> None:
        """`listener` is told the processes whenever one starts or ends."""
        self._listeners.append(listener)
