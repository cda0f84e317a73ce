"""`python -m ops.local manage …`: a command of `manage.py` with what the running processes were told."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

from config import env
from ops.local import running, stack
from ops.local.errors import LocalError
from ops.local.running import Paths, read_json, write_json


def keep(paths: Paths, environ: Mapping[str, str]) -> None:
    """For `run`, while the processes live. Addresses and secrets are in it: for nobody else's eyes."""
    names = [variable.name for variable in env.variables()]
    write_json(paths.environment, {name: environ[name] for name in names if name in environ})


def told(paths: Paths) -> dict[str, str]:
    """What was kept, or a refusal if nothing is running."""
    if not running.supervisor_pid(paths):
        raise LocalError("Nothing is running here. Start it with `make run`, in another terminal.")
    found = read_json(paths.environment)
    if not found:
        raise LocalError("It is still starting. Try again when it says its address.")
    return {name: value for name, value in found.items() if isinstance(value, str)}


def run(paths: Paths, arguments: Sequence[str]) -> NoReturn:
    """In the place of this process."""
    environ = {**os.environ, **told(paths), "DJANGO_SETTINGS_MODULE": "config.settings"}
    command = [sys.executable, "-W", "ignore", str(stack.ROOT / "manage.py"), *arguments]
    os.execve(sys.executable, command, environ)  # noqa: S606
