"""A checkout in which somebody pastes what a page says: its `var` and programs are those of a running stack.

To start Django takes seconds, and the pages have dozens of commands of `manage.py`: those go to a process
that stays. A part is started again on one page only.
"""

from __future__ import annotations

import json
import os
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.acceptance.stack import ROOT, Stack

PATIENCE_S = 120
MARK = "@@@ the next block @@@"

# This one takes the way that all would take.
ALL_THE_WAY = ["stripe_dead", "list"]

# Instead of the checkout's Python. Has no site-packages to look through, so it starts at once.
PYTHON = """#!{python} -SE
import json, os, socket, sys
words = sys.argv[1:]
if words[:2] == ["-m", "ops.local"]:
    asked = socket.socket(socket.AF_UNIX)
    asked.connect({address!r})
    with asked.makefile("rw") as line:
        line.write(json.dumps(words[2:]) + "\\n")
        line.flush()
        said = json.loads(line.readline() or "null")
    if said is not None:
        sys.stdout.write(said["out"])
        sys.stderr.write(said["err"])
        sys.exit(said["code"])
    words[2:2] = ["--var", {var!r}]
os.execv({python!r}, [{python!r}, *words])
"""

MANAGE = """
import io, sys
from contextlib import redirect_stderr, redirect_stdout
from django.core.management import CommandError, call_command
out, err, code = io.StringIO(), io.StringIO(), 0
with redirect_stdout(out), redirect_stderr(err):
    try:
        call_command({name!r}, *{words!r}, stdout=out, stderr=err)
    except CommandError as error:
        err.write(f"CommandError: {{error}}\\n")
        code = error.returncode
    except SystemExit as left:
        code = left.code or 0
answer({{"out": out.getvalue(), "err": err.getvalue(), "code": code}})
"""


@dataclass
class Terminal:
    stack: Stack
    folder: Path
    restarts: str | None = None  # the part that is really started again

    def paste(self, blocks: list[str]) -> list[str]:
        """One after the other, in one shell that stops at the first thing that fails; what each has shown."""
        script = f"\necho; echo '{MARK}'\n".join(blocks)
        done = subprocess.run(
            ["bash", "-c", f"set -e\n{script}"],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n---- showed:\n{done.stdout}\n---- and:\n{done.stderr}"
        return done.stdout.split(f"{MARK}\n")

    @property
    def environ(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "PYTHONPATH": os.pathsep.join((str(ROOT / "platform"), str(ROOT))),
        }

    def answer(self, words: list[str]) -> object:
        """What `python -m ops.local` is to show; None: it is to be run."""
        if words[0] == "manage" and words[1:] != ALL_THE_WAY:
            return self.stack.shell(MANAGE.format(name=words[1], words=tuple(words[2:])))
        if words[0] == "restart" and words[1] != self.restarts:
            return {"out": f"  {words[1]} is started again on another page\n", "err": "", "code": 0}
        return None


@contextmanager
def opened(stack: Stack, folder: Path) -> Iterator[Terminal]:
    (folder / "var").symlink_to(stack.var)
    (folder / "tests").symlink_to(ROOT / "tests")
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("lib", "bin/stenogate"):
        (folder / ".venv" / name).symlink_to(Path(sys.prefix) / name)
    terminal = Terminal(stack, folder)

    class Line(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            said = terminal.answer(json.loads(self.rfile.readline()))
            self.wfile.write(json.dumps(said).encode() + b"\n")

    address = str(folder / "terminal")
    python = programs / "python"
    python.write_text(PYTHON.format(python=sys.executable, address=address, var=str(stack.var)))
    python.chmod(0o755)
    with socketserver.UnixStreamServer(address, Line) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        try:
            yield terminal
        finally:
            server.shutdown()
            serving.join()
