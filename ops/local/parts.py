"""`make test`: the tests in parts, three processes of pytest side by side.

The whole service waits much and computes little, so two cores do three of them in hardly more time than two.
Each process has servers and ports of its own, and what it says is shown in one piece when it ends.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from ops.local.console import Console
from ops.local.service import ended

ROOT = Path(__file__).resolve().parents[2]
SAY_EVERY_S = 60.0
STOP_S = 90.0  # it has a service to stop


class Interrupted(Exception):
    """Ctrl-C or SIGTERM."""


@dataclass(frozen=True)
class Part:
    name: str
    marker: str
    rooms: tuple[str, ...] = ()


AT_ONCE = 3
CONTROL = ("metering", "ops", "platform", "regions", "stenogate", "tenants")
# Those that take longest come first.
PARTS = (
    Part("the whole service", "stack", ("tests/integration",)),
    Part("the control plane", "not stack", CONTROL),
    Part("worker, failover", "not stack", ("inference_worker", "tests")),
    Part("what users do", "stack", ("tests/acceptance",)),
    Part("crashes, benchmarks", "stack", ("tests/benchmarks", "tests/crash")),
)


@dataclass
class Running:
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


def main(parts: Sequence[Part] = PARTS, arguments: Sequence[str] = ()) -> int:
    console = Console()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    with tempfile.TemporaryDirectory(prefix="stenogate-tests-") as folder:
        started: list[Running] = []
        try:
            for place, part in enumerate(parts):
                _watch(started, AT_ONCE - 1, console)
                started.append(_start(part, Path(folder) / str(place), arguments, console))
            _watch(started, 0, console)
        except Interrupted:
            _end(started, console)
            return 130
        for one in started:
            console.line(f"{one.name}: {_summary(one)}")
        return max(abs(int(one.process.returncode)) for one in started)


def _start(part: Part, path: Path, arguments: Sequence[str], console: Console) -> Running:
    command = [
        sys.executable, "-m", "pytest", "-m", part.marker, "--durations=10",
        f"--color={'yes' if console.is_terminal else 'no'}", "-o", f"cache_dir=.pytest_cache/{path.name}",
        *part.rooms, *arguments,
    ]  # fmt: skip
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
    return Running(part.name, process, path)


def _watch(started: Sequence[Running], at_most: int, console: Console) -> None:
    """Until no more than so many of them are under way."""
    said = time.monotonic()
    while True:
        for one in started:
            if not one.shown and one.process.poll() is not None:
                _show(one, console)
        under_way = [one for one in started if not one.shown]
        if len(under_way) <= at_most:
            return
        now = "; ".join(one.percent for one in under_way)
        console.doing(now)
        if not console.is_terminal and time.monotonic() - said > SAY_EVERY_S:
            said = time.monotonic()
            console.line(f"  {console.dots} {now}")
        time.sleep(0.5)


def _show(one: Running, console: Console) -> None:
    console.line(f"\n======== {one.name} ========")
    console.line(one.said.rstrip() + "\n")
    one.shown = True


def _end(running: Sequence[Running], console: Console) -> None:
    for one in running:
        one.process.send_signal(signal.SIGINT)
    for one in running:
        try:
            one.process.wait(STOP_S)
        except (subprocess.TimeoutExpired, Interrupted):
            one.process.kill()
            one.process.wait()
        if not one.shown:
            _show(one, console)


def _summary(one: Running) -> str:
    lines = [line for line in one.said.splitlines() if line.strip()]
    last = re.sub(r"\x1b\[[0-9;]*m", "", lines[-1]).strip("= ") if lines else "said nothing"
    return last if one.process.returncode >= 0 else f"{ended(one.process.returncode)}; {last}"


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted


if __name__ == "__main__":
    sys.exit(main())
