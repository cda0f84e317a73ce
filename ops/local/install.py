"""Make `.venv` and install a lock into it, unless that has been done. Run by the system's own Python:

    python3 -m ops.local.install base|nemo|dev|riva [--venv DIR]

so it imports nothing that is not Python's own.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path

from ops.local.console import Console
from ops.local.errors import LocalError, NoSpace

ROOT = Path(__file__).resolve().parents[2]
# What each is made of, in the order in which pip gets them. pip wants hashes for all or for none in one call,
# and nemo has none, so that of its packages those of the base are compared before.
PARTS = {"base": ("base",), "nemo": ("base", "nemo"), "dev": ("dev", "nemo"), "riva": ("riva",)}
SATISFIED_BY = {"base": ("base", "nemo", "dev"), "nemo": ("nemo", "dev"), "dev": ("dev",), "riva": ("riva",)}
# With what pip keeps for the next time and needs while it unpacks.
NEEDED_MB = {"base": 900, "nemo": 3_800, "dev": 4_100, "riva": 1_000, "cuda": 8_000}
GPU = Path("/dev/nvidiactl")
PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input", "--no-color")
# Python compiles a module when it is first imported; to compile all of torch and NeMo takes over a minute.
INSTALL = ("install", "--no-deps", "--no-compile", "--progress-bar", "off")
SAY_EVERY_S = 10.0
# pip's last words come with a notice of this kind for each index that has a note; nobody can act on it here.
NOISE = re.compile(r"Location .* is ignored|notice|WARNING: Running pip as the 'root' user", re.IGNORECASE)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python3 -m ops.local.install", description=__doc__.splitlines()[0])
    parser.add_argument("lock", choices=PARTS)
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv")
    given = parser.parse_args(arguments)
    console = Console()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        install(given.lock, given.venv.absolute(), console)
    except LocalError as error:
        console.line(f"\n  {console.cross} {error}\n")
        return 1
    except KeyboardInterrupt:
        console.line("\n  Stopped; the next run goes on from here.")
        return 130
    return 0


def install(lock: str, venv: Path, console: Console) -> None:
    if is_current(lock, venv):
        return
    with (ROOT / "pyproject.toml").open() as both:  # two runs at once would install over each other
        try:
            fcntl.flock(both, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            console.line("Another run is installing; waiting for it.")
            fcntl.flock(both, fcntl.LOCK_EX)
        if not is_current(lock, venv):
            _install(lock, venv, console)


def is_current(lock: str, venv: Path) -> bool:
    """All locks but riva have the versions of nemo, so a larger one has all that a smaller one has."""
    stamps = _stamps(venv)
    return any(stamps.get(each) == digest(each, venv) for each in SATISFIED_BY[lock])


def digest(lock: str, venv: Path) -> str:
    """Of all that decides what is installed: the locks, how we are installed ourselves, and where."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    ours = {
        "project": project["project"],
        "build": project["build-system"],
        "hatch": project["tool"]["hatch"],
        "home": [str(ROOT), str(venv)],
        "locks": [_lock(part).read_text() for part in PARTS[lock]],
    }
    return hashlib.sha256(json.dumps(ours, sort_keys=True).encode()).hexdigest()


def _install(lock: str, venv: Path, console: Console) -> None:
    began = time.monotonic()
    _room(lock)
    name = venv.relative_to(ROOT) if venv.is_relative_to(ROOT) else venv
    takes = "some minutes" if "nemo" in PARTS[lock] else "a minute or two"
    console.line(f"Installing what Stenogate needs into {name} (once; {takes})")
    python = venv / "bin" / "python"
    if not _works(python, venv):
        _make(venv, console)
    (venv / STAMPS).unlink(missing_ok=True)  # until it is whole again
    for place, part in enumerate(PARTS[lock]):
        _packages(part, python, console, before=PARTS[lock][:place])
    if "nemo" in PARTS[lock]:
        _cuda(python, console)
    step = time.monotonic()
    _pip(
        console, "installing Stenogate itself",
        [str(python), *PIP, *INSTALL, "-e", str(ROOT)],
    )  # fmt: skip
    console.done("stenogate", "this folder, editable", time.monotonic() - step)
    (venv / STAMPS).write_text(json.dumps({lock: digest(lock, venv)}))
    console.line(f"Installed in {time.monotonic() - began:.0f} s.\n")


def _room(lock: str, hint: str = "") -> None:
    left = shutil.disk_usage(ROOT).free // 2**20
    if left < NEEDED_MB[lock]:
        raise NoSpace(
            f"The disk of {ROOT} has {left} MB left; installing needs about {NEEDED_MB[lock]} MB. "
            f"Free some.{hint}"
        )


def _packages(part: str, python: Path, console: Console, before: Sequence[str] = ()) -> None:
    wanted = len(_names(part).difference(*map(_names, before)))
    step = time.monotonic()
    _pip(
        console, f"fetching about {wanted} packages",
        [str(python), *PIP, *INSTALL, "-r", str(_lock(part))],
    )  # fmt: skip
    console.done("packages", f"from requirements/{part}.lock", time.monotonic() - step)


def _names(part: str) -> set[str]:
    """Most of what the lock has pip install here: without what is for other systems and Pythons only."""
    lines = re.findall(r"^([a-z0-9.-]+)==[^;\n]*(;.*)?$", _lock(part).read_text(), re.MULTILINE)
    return {name for name, marker in lines if not marker or "linux" in marker}


def _cuda(python: Path, console: Console) -> None:
    """What torch's build for NVIDIA GPUs needs to be imported at all; the one for CPUs needs none of it."""
    ask = "from importlib.metadata import requires; print(*requires('torch') or (), sep='\\n')"
    asked = subprocess.run([str(python), "-c", ask], capture_output=True, text=True, check=False)  # noqa: S603
    if not re.search(r"^(nvidia|cuda)-", asked.stdout, re.MULTILINE):
        if GPU.exists():
            console.line(
                "  This machine has an NVIDIA GPU, but your package index gave torch's build for CPUs, which "
                "does not use it.\n  See docs/operations.md, Which engine."
            )
        return
    cpu = "Or get torch's build for CPUs: PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu"
    if not GPU.exists():
        console.line(f"  No GPU here, but this build of torch cannot start without CUDA's libraries. {cpu}")
    _room("cuda", hint="" if GPU.exists() else f" {cpu}")
    _packages("cuda", python, console)


STAMPS = "stenogate.json"


def _stamps(venv: Path) -> dict[str, str]:
    try:
        stamps = json.loads((venv / STAMPS).read_text())
    except (OSError, ValueError):
        return {}
    return stamps if isinstance(stamps, dict) and (venv / "bin" / "python").exists() else {}


def _works(python: Path, venv: Path) -> bool:
    """It runs, is of this version, has pip, and was made in this place: its scripts name the place."""
    ask = "import sys, pip; print(*sys.version_info[:2], sys.prefix)"
    try:
        asked = subprocess.run(  # noqa: S603
            [str(python), "-c", ask], capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    major, minor = sys.version_info[:2]
    return asked.stdout.strip() == f"{major} {minor} {venv}"


def _make(venv: Path, console: Console) -> None:
    began = time.monotonic()
    version = ".".join(map(str, sys.version_info[:3]))
    console.doing(f"making {venv.name} with Python {version}")
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "venv", "--clear", str(venv)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        hint = " On Debian and Ubuntu: apt install python3-venv." if "ensurepip" in said else ""
        raise LocalError(f"Python {version} could not make {venv}.{hint}\n{_indent(said)}")
    console.done(venv.name, f"made with Python {version}", time.monotonic() - began)


def _pip(console: Console, doing: str, command: list[str]) -> None:
    """Run pip; count what it collects; if it fails, say how it ended."""
    console.doing(doing)
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    process = subprocess.Popen(  # noqa: S603
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environ,
        cwd=ROOT,
    )
    assert process.stdout is not None  # noqa: S101
    lines: list[str] = []
    state, collected, said = doing, 0, time.monotonic()
    try:
        for line in process.stdout:
            lines = [*lines[-199:], line.rstrip()]
            if line.startswith(("Collecting ", "Processing ")):
                collected += 1
                state = f"{doing}: {collected}"
            elif line.startswith("Installing collected"):
                state = f"unpacking {collected} packages"
            console.doing(state)
            if not console.is_terminal and time.monotonic() - said > SAY_EVERY_S:
                said = time.monotonic()
                console.line(f"  {console.dots} {state}")
    except KeyboardInterrupt:
        process.wait()  # pip heard the same Ctrl-C
        raise
    finally:
        process.stdout.close()
    if process.wait():
        raise _why("\n".join(line for line in lines if not NOISE.search(line)))


def _why(said: str) -> LocalError:
    if "No space left on device" in said:
        return NoSpace(f"The disk of {ROOT} became full while packages were installed. Free some.")
    if re.search(r"Temporary failure in name resolution|Connection refused|Max retries|timed out", said):
        return LocalError(
            f"pip could not reach the package index. Is there a network, or a proxy to set?\n{_indent(said)}"
        )
    return LocalError(f"pip could not install what Stenogate needs:\n{_indent(said)}")


def _indent(said: str) -> str:
    return "\n".join(f"    {line[:200]}" for line in said.splitlines()[-12:])


def _lock(name: str) -> Path:
    return ROOT / "requirements" / f"{name}.lock"


if __name__ == "__main__":
    sys.exit(main())
