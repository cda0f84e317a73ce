"""One process of the local stack: what it is, how it is started, how it is ended.

Every process leads a group of its own, so a Ctrl-C in the terminal reaches the supervisor alone, and ending
a process ends its children too. On Linux the kernel also signals it when the supervisor's main thread ends.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ops.local.errors import StartFailed
from ops.local.logs import tail
from ops.local.unprivileged import Identity

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def nothing_to_wait_for() -> str | None:
    return None


@dataclass(frozen=True)
class Service:
    name: str
    command: tuple[str, ...]
    log: Path
    detail: str = ""  # where it is, for people
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    cwd: Path | str = "/"
    identity: Identity | None = None  # None: as whoever runs the supervisor
    ready: Callable[[], str | None] = nothing_to_wait_for  # None when ready, else what is missing
    before_start: Callable[[], None] = lambda: None
    held: Callable[[], bool] = lambda: False  # while it is, a service that has ended is not started again
    start_timeout: float = 60.0
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout: float = 10.0


def spawn(service: Service) -> subprocess.Popen[bytes]:
    """Start it; its output goes to its log. Call from the main thread: the kernel ties it to the thread."""
    service.before_start()
    service.log.parent.mkdir(parents=True, exist_ok=True)
    parent = os.getpid()

    def in_the_child() -> None:
        # Runs after the change of user, which would clear the wish.
        if _libc is not None:
            _libc.prctl(PR_SET_PDEATHSIG, int(service.stop_signal))
            if os.getppid() != parent:  # the supervisor died before the wish was heard
                os._exit(1)

    who = service.identity
    try:
        with service.log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603
                service.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=service.cwd,
                env=dict(service.env),
                process_group=0,
                preexec_fn=in_the_child,
                user=who.uid if who else None,
                group=who.gid if who else None,
                extra_groups=[] if who else None,
            )
    except FileNotFoundError as error:
        raise StartFailed(f"{service.name} cannot start: {error.filename} is not there.") from None
    except PermissionError as error:
        raise StartFailed(f"{service.name} cannot start: {error.strerror} ({error.filename}).") from None
    except subprocess.SubprocessError as error:
        raise StartFailed(f"{service.name} cannot start: {error}") from None


def wait_ready(service: Service, process: subprocess.Popen[bytes]) -> None:
    """Until it is ready, or `StartFailed` with the last lines it wrote."""
    deadline = time.monotonic() + service.start_timeout
    while (missing := service.ready()) is not None:
        status = process.poll()
        if status is not None:
            raise StartFailed(f"{service.name} {ended(status)} at start.\n{tail(service.log)}".rstrip())
        if time.monotonic() > deadline:
            raise StartFailed(
                f"{service.name} was not ready in {service.start_timeout:.0f} s: {missing}. "
                f"Its log: {service.log}"
            )
        time.sleep(0.05)


def end(
    process: subprocess.Popen[bytes],
    stop_signal: signal.Signals,
    timeout: float,
    hurry: Callable[[], bool] = lambda: False,
) -> bool:
    """Ask the process to stop; after `timeout` seconds, or in a hurry, make it. Nothing of its group is left.

    True if it stopped by itself."""
    if process.poll() is None:
        process.send_signal(stop_signal)
    deadline = time.monotonic() + timeout
    while process.poll() is None and time.monotonic() < deadline and not hurry():
        time.sleep(0.02)
    in_time = process.poll() is not None
    kill_group(process.pid)
    process.wait()
    return in_time


def kill_group(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def ended(status: int) -> str:
    """`exited with status 3`, `was killed by SIGKILL`."""
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"exited with status {status}"


@dataclass
class Server:
    """A running PostgreSQL or Valkey."""

    service: Service
    process: subprocess.Popen[bytes]
    url: str

    @property
    def pid(self) -> int:
        return self.process.pid

    def stop(self, timeout: float | None = None) -> None:
        wait = self.service.stop_timeout if timeout is None else timeout
        end(self.process, self.service.stop_signal, wait)
