"""A step computed at once: on a GPU as one graph for each bucket, captured before the worker is ready.

A graph reads and writes always the same memory: a step's input is copied there, its output stays until the
next step of that size. What a step leaves in the arenas is a second graph, run when all of the step worked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
import structlog
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from inference_worker.engines.nemo.recogniser import Computed

WARM_UPS = 3  # cuFFT, cuBLAS and cuDNN choose how they compute, and allocate, in the first runs

log = structlog.get_logger("worker")

Floats: TypeAlias = NDArray[np.float32]
Integers: TypeAlias = NDArray[np.int64]
Compute = Callable[[Tensor, Tensor, bool], "Computed"]


class Graph(Protocol):
    """`samples` [B, chunk] and `rows` [3, B] are the host's memory to fill in before `compute`."""

    samples: Floats
    rows: Integers

    def compute(self) -> Computed: ...

    def commit(self) -> None: ...


Capture = Callable[[Compute, int, int], Graph]  # with the rows of a bucket and the samples of a chunk


class Graphs:
    def __init__(self, compute: Compute, chunk: int, device: torch.device, capture: Capture | None) -> None:
        self._compute, self._chunk, self._device, self._capture = compute, chunk, device, capture
        self._captured: dict[int, Graph] = {}

    def run(self, samples: Floats, rows: Integers, whole: bool) -> Computed:
        """`rows`: slots, how many samples are there, how many of them were sent. `whole`: none ends here."""
        graph = self._of(len(samples))
        if graph is None:
            here = [torch.from_numpy(one).to(self._device) for one in (samples, rows)]
            return self._compute(here[0], here[1], whole)
        np.copyto(graph.samples, samples)
        np.copyto(graph.rows, rows)
        return graph.compute()

    def commit(self, computed: Computed) -> None:
        graph = self._captured.get(len(computed.encoded))
        if graph is None:
            computed.writes.commit()
        else:
            graph.commit()

    def _of(self, rows: int) -> Graph | None:
        if self._capture is not None and rows not in self._captured:
            try:
                self._captured[rows] = self._capture(self._compute, rows, self._chunk)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                # Slower, and right all the same.
                log.warning("a step cannot be captured as a graph", error=type(error).__name__)
                self._capture = None
                self._captured.clear()
        return self._captured.get(rows)


def on_cuda() -> Capture:
    # One pool for all: the buckets take turns, so they can work in the same memory.
    pool = torch.cuda.graph_pool_handle()
    return lambda compute, rows, chunk: CudaGraph(compute, rows, chunk, pool)


class CudaGraph:
    """Rows are masked where they end, for the one graph has to do for all."""

    def __init__(self, compute: Compute, rows: int, chunk: int, pool: Any) -> None:
        self._host = [
            torch.zeros(rows, chunk, pin_memory=True),
            torch.zeros(3, rows, dtype=torch.long, pin_memory=True),
        ]
        self.samples, self.rows = self._host[0].numpy(), self._host[1].numpy()
        # Until a step fills them in, all rows are of slot 0, which loses nothing: what is written before a
        # commit (`Encoder`) is where the slot's next chunk goes.
        device = [one.to("cuda") for one in self._host]
        self._device = device
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UPS):
                compute(device[0], device[1], False)
        torch.cuda.current_stream().wait_stream(aside)
        self._first, self._second = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._first, pool=pool, capture_error_mode="thread_local"):
            self._computed = compute(device[0], device[1], False)
        with torch.cuda.graph(self._second, pool=pool, capture_error_mode="thread_local"):
            self._computed.writes.commit()

    def compute(self) -> Computed:
        for device, host in zip(self._device, self._host, strict=True):
            device.copy_(host, non_blocking=True)
        self._first.replay()
        return self._computed

    def commit(self) -> None:
        self._second.replay()
