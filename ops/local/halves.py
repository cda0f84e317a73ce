"""`make test`: the tests in two processes side by side, those of the whole service and all others.

The whole service waits much and computes little, so two cores do both in hardly more time than the longer
one. Each process has servers and ports of its own, and what it says is shown in one piece when it ends.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from ops.local.console import Console
from ops.local.service import ended

ROOT = Path(__file__).resolve().parents[2]
HALVES = {"the whole service": "stack", "all others": "not stack"}
# To import all other tests only to leave them out takes a quarter of a minute.
ROOMS = {"stack": ("tests/acceptance", "tests/benchmarks", "tests/crash", "tests/integration")}
SAY_EVERY_S = 60.0
STOP_S = 90.0  # it has a service to stop


class Interrupted(Exception):
    """Ctrl-C or SIGTERM."""


@dataclass
class Half:
    name: str
    process: subprocess.Popen[bytes]
    output: Path
    shown: bool = False

    @property
    def said(self) -> str:
        return self.output.read_text("utf-8", "replace")

    @property
    def percent(self) -> str:
        found = re.findall(r"\[ *(\d+)%\]", self.said)
        return f"{self.name} {found[-1] if found else 0} %"


def main(arguments: Sequence[str], halves: Mapping[str, str] = HALVES) -> int:
    console = Console()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    with tempfile.TemporaryDirectory(prefix="stenogate-halves-") as folder:
        running: list[Half] = []
        try:
            for name, marker in halves.items():
                running.append(_start(name, marker, Path(folder), arguments, console))
            _watch(running, console)
        except Interrupted:
            _end(running, console)
            return 130
        for half in running:
            console.line(f"{half.name}: {_summary(half)}")
        return max(abs(int(half.process.returncode)) for half in running)


def _start(name: str, marker: str, folder: Path, arguments: Sequence[str], console: Console) -> Half:
    short = marker.replace(" ", "-")
    command = [
        sys.executable, "-m", "pytest", "-m", marker, "--durations=10",
        f"--color={'yes' if console.is_terminal else 'no'}", "-o", f"cache_dir=.pytest_cache/{short}",
        *(arguments or ROOMS.get(marker, ())),
    ]  # fmt: skip
    path = folder / short
    with path.open("wb") as output:
        # In a group of its own: Ctrl-C is passed on by us, once, since twice is a wish for haste.
        process = subprocess.Popen(  # noqa: S603
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
    return Half(name, process, path)


def _watch(running: Sequence[Half], console: Console) -> None:
    said = time.monotonic()
    while waiting := [half for half in running if not half.shown]:
        for half in waiting:
            if half.process.poll() is not None:
                _show(half, console)
        now = "; ".join(half.percent for half in running if not half.shown)
        console.doing(now)
        if now and not console.is_terminal and time.monotonic() - said > SAY_EVERY_S:
            said = time.monotonic()
            console.line(f"  {console.dots} {now}")
        time.sleep(0.5)


def _show(half: Half, console: Console) -> None:
    console.line(f"\n======== {half.name} ========")
    console.line(half.said.rstrip() + "\n")
    half.shown = True


def _end(running: Sequence[Half], console: Console) -> None:
    for half in running:
        half.process.send_signal(signal.SIGINT)
    for half in running:
        try:
            half.process.wait(STOP_S)
        except (subprocess.TimeoutExpired, Interrupted):
            half.process.kill()
            half.process.wait()
        if not half.shown:
            _show(half, console)


def _summary(half: Half) -> str:
    lines = [line for line in half.said.splitlines() if line.strip()]
    last = re.sub(r"\x1b\[[0-9;]*m", "", lines[-1]).strip("= ") if lines else "said nothing"
    return last if half.process.returncode >= 0 else f"{ended(half.process.returncode)}; {last}"


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
