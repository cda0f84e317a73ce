"""Where a figure was measured, and what the processes cost: from /proc, so Linux only."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[2]
TICKS = os.sysconf("SC_CLK_TCK")
QUIET_LOAD = 0.5
# What a service is told whose limits are looked for, all streams at the same moment.
LET_ALL_IN = {"OPENING_RAMP_SECONDS": "0", "OVERLOAD_MS": "0", "GATEWAY_MAX_HANDSHAKES": "100000"}


class CannotMeasure(Exception):
    """Something that a benchmark needs is not here."""


def describe() -> dict[str, object]:
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "HEAD") or "unknown",
        "uncommitted_changes": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "cpu": _first("/proc/cpuinfo", "model name"),
        "cores": len(os.sched_getaffinity(0)),
        "memory": _first("/proc/meminfo", "MemTotal"),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def need_for(engine: str, model: str = "") -> Path | None:
    """The model file of the nemo engine; raises what is missing."""
    if engine != "nemo":
        return None
    if find_spec("nemo") is None or find_spec("torch") is None:
        raise CannotMeasure(
            "nemo_toolkit is not installed here. Install it with: python3 -m ops.local.install nemo"
        )
    from inference_worker.engines.nemo.loading import TINY

    path = Path(model) if model else TINY
    if not path.is_file():
        raise CannotMeasure(f"there is no model {path}; model=PATH says which .nemo file to use")
    return path


def is_quiet() -> bool:
    return os.getloadavg()[0] < QUIET_LOAD * len(os.sched_getaffinity(0))


def cpu_seconds(pids: Mapping[str, int]) -> dict[str, float]:
    """Processor time used so far by each process and all it started.

    Every service leads a process group of its own, so the group is the service.
    """
    used = dict.fromkeys(pids, 0.0)
    names = {os.getpgid(pid): name for name, pid in pids.items() if _lives(pid) and os.getpgid(pid) == pid}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        name = names.get(int(fields[2]))
        if name is not None:
            used[name] += (int(fields[11]) + int(fields[12])) / TICKS
    return used


def _lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def _git(*words: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _first(path: str, name: str) -> str:
    for line in Path(path).read_text().splitlines():
        if line.startswith(name):
            return line.partition(":")[2].strip()
    return "unknown"
