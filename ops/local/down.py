"""The end of a run: what it told the world is taken back, and nothing that it started is left."""

from __future__ import annotations

from ops.local import running
from ops.local.console import Console
from ops.local.running import Paths
from ops.local.supervisor import Supervisor


def everything(paths: Paths, console: Console, supervisor: Supervisor) -> None:
    paths.demo.unlink(missing_ok=True)
    if supervisor.children:
        console.line("Stopping (Ctrl-C again hurries)")
    supervisor.down()
    paths.environment.unlink(missing_ok=True)
    running.end_leftovers(paths)
