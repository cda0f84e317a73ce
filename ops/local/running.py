"""Who works on a var/ folder: one lock, one record of processes, and the end of those that a crash left.

The lock is the kernel's, so it goes when its holder dies, however it dies. The record and a variable in the
environment of every process we start tell which processes are ours; a number alone could be anybody's.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ops.local.errors import AlreadyRunning, LocalError

MARK = "STENOGATE_VAR"
STOP_TIMEOUT_S = 75.0  # longer than a supervisor needs to end everything by itself
LEFTOVER_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Paths:
    """What is where under var/."""

    var: Path

    @property
    def run(self) -> Path:
        return self.var / "run"

    @property
    def log(self) -> Path:
        return self.var / "log"

    @property
    def demo(self) -> Path:
        return self.run / "demo.json"

    @property
    def secrets(self) -> Path:
        return self.run / "secrets.json"

    @property
    def pids(self) -> Path:
        return self.run / "pids.json"

    @property
    def ports(self) -> Path:
        return self.run / "ports.json"

    @property
    def environment(self) -> Path:
        return self.run / "environment.json"

    @property
    def lock(self) -> Path:
        return self.run / "lock"


def write_json(path: Path, value: object) -> None:
    """All of it or nothing, and for nobody else's eyes."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(value, file, indent=2)
        file.write("\n")
    unfinished.replace(path)


def read_json(path: Path) -> dict[str, object]:
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


# ---- the lock


@contextmanager
def only_one(paths: Paths) -> Iterator[None]:
    """Hold the lock, or say who does."""
    with paths.lock.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise AlreadyRunning(_who_runs(paths)) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def supervisor_pid(paths: Paths) -> int | None:
    """The process that holds the lock, if any does."""
    with contextlib.suppress(FileNotFoundError), paths.lock.open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return int(file.read().strip() or 0)
    return None


def _who_runs(paths: Paths) -> str:
    pid = supervisor_pid(paths)
    where = read_json(paths.demo).get("http_url")
    state = f"at {where}" if where else "and is still starting"
    return f"Stenogate is already running here (pid {pid}) {state}. `make stop` ends it."


# ---- the record


def record(paths: Paths, pids: Mapping[str, int]) -> None:
    write_json(paths.pids, {name: {"pid": pid, "born": born(pid)} for name, pid in pids.items()})


def born(pid: int) -> str | None:
    """When a process began, in a form that no other process with its number has; None if it is gone."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] in "ZX" else f"{boot} {fields[19]}"
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
    command = ["ps", "-o", "lstart=", "-p", str(pid)]  # a system without /proc
    asked = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return asked.stdout.strip() or None


def leftovers(paths: Paths) -> dict[int, str]:
    """Processes of an earlier run on this var/ that still live: number and name, in the order to end them."""
    found = {}
    for name, entry in reversed(read_json(paths.pids).items()):
        if isinstance(entry, dict) and isinstance(pid := entry.get("pid"), int):
            began = born(pid)
            if began is not None and began == entry.get("born"):
                found[pid] = name
    mark = f"{MARK}={paths.var.resolve()}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        pid = int(process.name)
        with suppress(OSError):
            if pid != os.getpid() and mark in (process / "environ").read_bytes().split(b"\0") and born(pid):
                found.setdefault(pid, (process / "comm").read_text().strip())
    return found


def end_leftovers(paths: Paths) -> list[str]:
    """Ask them to stop, then make them. Returns their names."""
    remaining = leftovers(paths)
    names = list(remaining.values())
    deadline = time.monotonic() + LEFTOVER_TIMEOUT_S
    for pid, name in remaining.items():
        _signal(pid, signal.SIGINT if name == "postgres" else signal.SIGTERM)
    while remaining and time.monotonic() < deadline:
        time.sleep(0.05)
        remaining = {pid: name for pid, name in remaining.items() if born(pid)}
    killed = {*remaining, *leftovers(paths)}  # and what they started and did not end
    for pid in killed:
        _signal(pid, signal.SIGKILL)
    deadline = time.monotonic() + LEFTOVER_TIMEOUT_S
    while any(map(born, killed)) and time.monotonic() < deadline:
        time.sleep(0.05)
    paths.pids.unlink(missing_ok=True)
    return names


def stop_supervisor(paths: Paths, pid: int) -> None:
    """Ask it to end everything, and wait until it has."""
    _signal(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while supervisor_pid(paths) == pid:
        if time.monotonic() > deadline:
            _signal(pid, signal.SIGKILL)
            deadline = float("inf")
        time.sleep(0.05)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
    except PermissionError:
        raise LocalError(
            f"Process {pid} belongs to another user, who started the stack; only that user can stop it."
        ) from None
