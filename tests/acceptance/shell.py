"""Django's shell in processes that stay, since to start one takes seconds: a line of JSON in, a line out.

`python -m tests.acceptance.shell`, in the environment of the service. `Shells` is its other end.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0


class Shells:
    """As many as are asked something at the same time."""

    def __init__(self) -> None:
        self._idle: list[subprocess.Popen[str]] = []

    def run(self, program: str, environ: Callable[[], Mapping[str, str]]) -> Any:
        """What it hands back with `answer(value)`."""
        process = self._idle.pop() if self._idle else _started(environ())
        said = _asked(process, program)
        self._idle.append(process)
        assert "error" not in said, said["error"]
        return said["answer"]

    def close(self) -> None:
        while self._idle:
            with self._idle.pop() as process:
                assert process.stdin is not None
                process.stdin.close()


def _started(environ: Mapping[str, str]) -> subprocess.Popen[str]:
    path = os.pathsep.join((str(ROOT / "platform"), str(ROOT)))
    return subprocess.Popen(
        [sys.executable, "-m", "tests.acceptance.shell"],
        cwd=ROOT, env={**environ, "PYTHONPATH": path}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip


def _asked(process: subprocess.Popen[str], program: str) -> dict[str, Any]:
    assert process.stdin is not None
    assert process.stdout is not None
    alarm = threading.Timer(PATIENCE_S, process.kill)
    alarm.start()
    try:
        process.stdin.write(json.dumps(program) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
    finally:
        alarm.cancel()
    assert line, f"the shell died, or took more than {PATIENCE_S:g} s, at:\n{program}"
    said: dict[str, Any] = json.loads(line)
    return said


def main() -> None:
    import django

    django.setup()
    from django.db import connections

    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever prints must not be taken for an answer
    for line in sys.stdin:
        answers: list[Any] = []
        try:
            exec(json.loads(line), {"answer": answers.append})
            said = {"answer": answers[-1]}
        except Exception:
            said = {"error": traceback.format_exc()}
        connections.close_all()  # a server that is stopped waits for nobody here
        out.write(json.dumps(said, default=str) + "\n")


if __name__ == "__main__":
    main()
