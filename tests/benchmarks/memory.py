"""What a stream costs in memory, and whether a long one costs more: in processes of their own.

`held` is what the objects of a contender hold in tensors and arrays, and `rss` what the operating system has
given to its process. Each is measured with few streams and with many, and the difference is shared out, so
model and libraries cancel out.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.benchmarks import machine
from tests.benchmarks.endless import Audio

if TYPE_CHECKING:
    from tests.benchmarks.contenders import Contender

FEW, MANY, STEPS = 1, 64, 40
FLAT_MB = 4.0
EARLY_MINUTES = 10


@dataclass(frozen=True)
class Settings:
    model: str
    right: int
    device: str
    threads: int

    def make(self, name: str, slots: int) -> Contender:
        from tests.benchmarks.contenders import CONTENDERS

        return CONTENDERS[name](Path(self.model), self.right, slots, self.device)


def a_stream(settings: Settings) -> dict[str, dict[str, float]]:
    found = {}
    for name in ("ours", "nemo"):
        few, many = (_elsewhere(settings, {"who": name, "streams": count}) for count in (FEW, MANY))
        found[name] = {
            kind: round((many[kind] - few[kind]) / (MANY - FEW), 1) for kind in ("held_kb", "rss_kb")
        }
    return found


def long_stream(settings: Settings, minutes: int) -> dict[str, Any]:
    """Ours, with one stream that lasts so many minutes of audio."""
    found = _elsewhere(settings, {"who": "ours", "minutes": minutes})
    trace = found["rss_mb"]
    early = trace[min(len(trace) - 1, max(1, round(len(trace) * EARLY_MINUTES / minutes)))]
    return {**found, "minutes": minutes, "rss_mb_early": early, "growth_mb": round(trace[-1] - early, 2)}


# ---- in a process of its own


def _elsewhere(settings: Settings, task: Mapping[str, Any]) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.memory", json.dumps({**task, **asdict(settings)})],
        cwd=machine.ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"measuring memory failed: {done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main(task: dict[str, Any]) -> dict[str, Any]:
    import torch

    who, streams, minutes = task.pop("who"), task.pop("streams", 1), task.pop("minutes", None)
    settings = Settings(**task)
    torch.set_num_threads(settings.threads)
    contender = settings.make(who, streams)
    audio = Audio(contender.chunk_samples)
    contender.open(streams)
    if minutes is None:
        for step in range(STEPS):
            contender.step(audio.block(step, streams))
        gc.collect()
        return {"held_kb": held_bytes(contender) / 1024, "rss_kb": rss_kb()}
    return _for_long(contender, audio, minutes * 60 * 16_000 // contender.chunk_samples)


def _for_long(contender: Contender, audio: Audio, steps: int) -> dict[str, Any]:
    """Ten parts, with the memory at the ends of each and how long its steps took."""
    sizes, medians = [], []
    part = max(1, steps // 10)
    for step in range(-min(50, part), part * 10):
        if step >= 0 and step % part == 0:
            gc.collect()
            sizes.append(rss_kb() / 1024)
            taken: list[float] = []
            medians.append(taken)
        began = time.perf_counter()
        contender.step(audio.block(step, 1))
        if step >= 0:
            medians[-1].append(time.perf_counter() - began)
    gc.collect()
    sizes.append(rss_kb() / 1024)
    return {
        "steps": part * 10,
        "rss_mb": [round(size, 2) for size in sizes],
        "step_ms": [round(1000 * median(one), 3) for one in medians],
    }


def rss_kb() -> int:
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


def held_bytes(root: object) -> int:
    """Of all tensors and arrays that can be reached from it, models' own parameters left out."""
    seen: set[int] = set()
    memory: dict[int, int] = {}
    waiting: deque[object] = deque([root])
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, np.ndarray):
            while isinstance(one.base, np.ndarray):
                one = one.base
            memory[one.ctypes.data] = one.nbytes
        elif hasattr(one, "untyped_storage"):
            storage = one.untyped_storage()
            memory[storage.data_ptr()] = storage.nbytes()
        else:
            waiting.extend(_parts(one))
    return sum(memory.values())


def _parts(one: object) -> Iterable[object]:
    if isinstance(one, str | bytes | int | float | type) or hasattr(one, "named_parameters"):
        return ()
    if isinstance(one, Mapping):
        return list(one.values())
    if isinstance(one, list | tuple | set | frozenset | deque):
        return list(one)
    slots = [name for kind in type(one).__mro__ for name in getattr(kind, "__slots__", ())]
    named = [getattr(one, name, None) for name in slots if isinstance(name, str)]
    return [*vars(one).values(), *named] if hasattr(one, "__dict__") else named


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
