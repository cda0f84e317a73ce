"""A run in a terminal, from its first check to Ctrl-C. However it ends, what it told the world is taken back,
and nothing that it started is left."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from ops.local import checks, running
from ops.local.console import Console
from ops.local.errors import LocalError
from ops.local.running import Paths
from ops.local.supervisor import StopRequested, Supervisor

Given = TypeVar("Given")


def run(
    title: str,
    paths: Paths,
    console: Console,
    prepare: Callable[[Paths, Console], Given],
    bring_up: Callable[[Given, Paths, Console, Supervisor], None],
    announce: Callable[[Given, Paths, Console, Supervisor, float], None],
) -> int:
    supervisor = Supervisor(console, on_change=lambda pids: running.record(paths, pids))
    supervisor.listen_to_signals()
    began = time.monotonic()
    checks.writable(paths)
    checks.space(paths.var)
    with running.only_one(paths):
        console.line(title)
        try:
            paths.demo.unlink(missing_ok=True)
            if left := running.end_leftovers(paths):
                console.line(f"  An earlier run had left {', '.join(left)}: ended.")
            given = prepare(paths, console)
            bring_up(given, paths, console, supervisor)
            announce(given, paths, console, supervisor, time.monotonic() - began)
            supervisor.watch()
        except StopRequested:
            pass
        except LocalError:
            if not supervisor.stops:  # else it failed because it is being stopped
                raise
        finally:
            _end(paths, console, supervisor)
    return 0


def _end(paths: Paths, console: Console, supervisor: Supervisor) -> None:
    paths.demo.unlink(missing_ok=True)
    if supervisor.children:
        console.line("Stopping (Ctrl-C again hurries)")
    supervisor.down()
    paths.environment.unlink(missing_ok=True)
    running.end_leftovers(paths)
