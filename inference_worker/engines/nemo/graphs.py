"""A step computed at once: on a GPU as one graph for each bucket, captured before the worker is ready.

A graph reads and writes always the same memory: a step's input is copied there, its output stays until the
next step of that size. What a step leaves in the arenas is a second graph, run when all of the step worked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import structlog
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from inference_worker.engines.nemo.recogniser import Computed

WARM_UPS = 3  # cuDNN and cuBLAS choose how they compute, and allocate, in the first runs

log = structlog.get_logger("worker")

Compute = Callable[[Tensor, Tensor, bool], "Computed"]


@dataclass(frozen=True)
class _Captured:
    samples: Tensor
    rows: Tensor
    computed: Computed
    compute: Any  # torch.cuda.CUDAGraph
    commit: Any


class Graphs:
    def __init__(self, compute: Compute, chunk: int, device: torch.device) -> None:
        self._compute, self._chunk, self._device = compute, chunk, device
        self._captured: dict[int, _Captured] = {}
        self._pool: Any = None
        self.used = device.type == "cuda"

    def run(self, samples: NDArray[np.float32], rows: NDArray[np.int64], whole: bool) -> Computed:
        """`samples` [B, chunk]; `rows` [3, B]: slots, how many samples are there, how many were sent."""
        if not self.used:
            here = [torch.from_numpy(one).to(self._device) for one in (samples, rows)]
            return self._compute(here[0], here[1], whole)
        graph = self._captured.get(len(samples)) or self._capture(samples, rows)
        if graph is None:
            return self.run(samples, rows, whole)
        graph.samples.copy_(torch.from_numpy(samples), non_blocking=True)
        graph.rows.copy_(torch.from_numpy(rows), non_blocking=True)
        graph.compute.replay()
        return graph.computed

    def commit(self, computed: Computed) -> None:
        graph = self._captured.get(len(computed.encoded))
        if graph is None:
            computed.writes.commit()
        else:
            graph.commit.replay()

    def _capture(self, samples: NDArray[np.float32], rows: NDArray[np.int64]) -> _Captured | None:
        try:
            graph = self._captured[len(samples)] = capture(
                self._compute, torch.from_numpy(samples).to(self._device),
                torch.from_numpy(rows).to(self._device), self._pool,
            )  # fmt: skip
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            # Slower, and right all the same.
            self.used = False
            self._captured.clear()
            log.warning(
                "the step cannot be captured as a graph; every step is launched", error=type(error).__name__
            )
            return None
        self._pool = self._pool or graph.compute.pool()
        return graph


def capture(compute: Compute, samples: Tensor, rows: Tensor, pool: Any) -> _Captured:
    """With masks for rows that end in this step: the one graph has to do for all."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(WARM_UPS):
            compute(samples, rows, False)
    torch.cuda.current_stream().wait_stream(aside)
    first, second = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
    with torch.cuda.graph(first, pool=pool):
        computed = compute(samples, rows, False)
    with torch.cuda.graph(second, pool=first.pool()):
        computed.writes.commit()
    return _Captured(samples, rows, computed, first, second)
