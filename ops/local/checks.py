"""What must be true before anything starts; each failure is one sentence."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from ops.local import ports
from ops.local.errors import LocalError, NoSpace, PortTaken
from ops.local.running import Paths

MIN_FREE_BYTES = 300 * 1024 * 1024


def free_bytes(path: Path) -> int:
    return shutil.disk_usage(path).free


def writable(paths: Paths) -> None:
    for folder in (paths.var, paths.run, paths.log):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LocalError(
                f"{folder} cannot be made: {error.strerror}. Everything is kept there."
            ) from None
    if not os.access(paths.run, os.W_OK | os.X_OK):
        raise LocalError(f"{paths.run} cannot be written to; an earlier run was perhaps by another user.")
    paths.run.chmod(0o700)  # it holds the demo's key and password


def space(folder: Path, free: Callable[[Path], int] = free_bytes) -> None:
    left = free(folder)
    if left < MIN_FREE_BYTES:
        raise NoSpace(
            f"The disk of {folder} has {left // 2**20} MB left; Stenogate needs {MIN_FREE_BYTES // 2**20} MB "
            "to start. Free some."
        )


def port(
    number: int, host: str, what: str, variable: str, holder: Callable[[int], str | None] = ports.holder
) -> None:
    """`what` can listen there; `variable` is the one that sets its port, and `…_HOST` its address."""
    error = ports.why_not(number, host)
    if error is None:
        return
    other = f"{variable}={number + 1 if number < 65535 else number - 1} make run"
    if error.errno == errno.EACCES:
        raise LocalError(
            f"Port {number}, meant for the {what}, needs root. "
            f"Choose one from 1024 up: {variable}=8000 make run"
        )
    if error.errno != errno.EADDRINUSE:
        where = variable.replace("_PORT", "_HOST")
        raise LocalError(f"{where}: this machine has no address {host} to listen on ({error.strerror}).")
    who = holder(number)
    raise PortTaken(
        f"Port {number}, meant for the {what}, is taken{f' by {who}' if who else ''}. "
        f"Stop that, or choose another: {other}"
    )
