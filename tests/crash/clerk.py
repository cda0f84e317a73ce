"""What an operator does with manage.py, in one process that stays: a line of JSON in, a line out.

python -m tests.crash.clerk, in the environment of the service. `Clerk` is its other end.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


class ClerkError(Exception):
    """The service could not do it now."""


class Clerk:
    def __init__(self, environ: Mapping[str, str], log: Path) -> None:
        path = os.pathsep.join((str(ROOT / "platform"), str(ROOT)))
        self._log = log.open("ab")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.clerk"],
            cwd=ROOT, env={**environ, "PYTHONPATH": path}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log,
        )  # fmt: skip

    def ask(self, what: str, **given: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([what, given]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the clerk is dead"
        said = json.loads(line)
        if "error" in said:
            raise ClerkError(said["error"])
        return said["answer"]

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()
        self._log.close()


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup()
    from django.db import close_old_connections, connection

    import config.celery  # noqa: F401 - whose broker the tasks are to know
    from tests.crash import desk

    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever prints must not be taken for an answer
    for line in sys.stdin:
        what, given = json.loads(line)
        try:
            said = {"answer": getattr(desk, what)(**given)}
        except Exception as error:
            said = {"error": f"{type(error).__name__}: {error}"}
            connection.close()
        out.write(json.dumps(said, default=str) + "\n")
        close_old_connections()


if __name__ == "__main__":
    main()
