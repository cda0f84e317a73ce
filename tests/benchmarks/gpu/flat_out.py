"""Steps as fast as they go, everybody in every one: our engine, and NeMo's pipeline on the same network.

So many streams can be served as there are rows in a step that takes no longer than a chunk. For NeMo's
pipeline that is generous: it counts neither the wait for the next step nor what hands the audio over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray

from inference_worker.engines.base import Row
from inference_worker.engines.nemo.engine import NemoEngine
from inference_worker.engines.nemo.loading import Loaded
from tests import nemo_pipeline
from tests.benchmarks.gpu import sounds
from tests.benchmarks.gpu.levels import flat_out_row
from wire.messages import SAMPLE_RATE, StreamOptions

NEMO_PAUSE_MS = 800
WARM_UP_STEPS, LEAST_STEPS = 3, 5


Audio = NDArray[np.float32]  # [streams, chunk]


class Contender(Protocol):
    chunk_samples: int

    def open(self, stream: int) -> None: ...

    def rows(self, audio: Audio) -> list[Any]: ...

    def step(self, rows: list[Any]) -> None: ...


class Ours:
    def __init__(self, engine: NemoEngine) -> None:
        self._engine, self.chunk_samples = engine, engine.info.chunk_samples
        self._most = engine.info.max_batch

    def open(self, stream: int) -> None:
        self._engine.open(stream, StreamOptions(interim_results=True), 0)

    def rows(self, audio: Audio) -> list[Row]:
        return [Row(slot, samples) for slot, samples in enumerate(audio)]

    def step(self, rows: list[Row]) -> None:
        for first in range(0, len(rows), self._most):  # as the worker cuts a larger one
            self._engine.step(rows[first : first + self._most])

    def close(self, streams: int) -> None:
        for slot in range(streams):
            self._engine.close(slot)


class NeMos:
    """Its pipeline with its endpointing and the text of words, as one would serve it."""

    def __init__(self, loaded: Loaded, slots: int, dtype: str) -> None:
        cuda = loaded.device.type == "cuda"
        with in_memory(loaded.model):
            self._pipeline = nemo_pipeline.make(
                "in-memory.nemo",
                loaded.right,
                slots,
                left=loaded.left,
                device=loaded.device.type,
                dtype=dtype,
                pause_ms=NEMO_PAUSE_MS,
                cuda_graphs=cuda,
            )
        self.chunk_samples = self._pipeline.chunk_samples
        self._new: set[int] = set()

    def open(self, stream: int) -> None:
        self._new.add(stream)

    def rows(self, audio: Audio) -> list[nemo_pipeline.Piece]:
        new, self._new = self._new, set()
        return [
            nemo_pipeline.Piece(stream, samples, first=stream in new) for stream, samples in enumerate(audio)
        ]

    def step(self, rows: list[nemo_pipeline.Piece]) -> None:
        self._pipeline.step(rows)


@contextmanager
def in_memory(model: Any) -> Iterator[None]:
    """NeMo's pipeline reads its network from a file. This one is not written to a file to be read again."""
    from nemo.collections.asr.inference.model_wrappers.asr_inference_wrapper import ASRInferenceWrapper

    with mock.patch.object(ASRInferenceWrapper, "load_model", staticmethod(lambda name, place: model)):
        yield


def race(
    contender: Contender,
    levels: Sequence[int],
    seconds: float,
    *,
    time_left: Callable[[], float],
    keep: Callable[[dict[str, Any]], None],
) -> None:
    """One level after the other, until the p95 of a step passes the chunk length, or time is up."""
    size = contender.chunk_samples
    opened = step = 0
    for level in levels:
        if time_left() < seconds:
            break
        for stream in range(opened, level):
            contender.open(stream)
        opened = level
        times: list[float] = []
        for number in range(10_000):
            settled = number >= WARM_UP_STEPS
            rows = contender.rows(sounds.floats(level, step * size, size))
            began = time.perf_counter()
            contender.step(rows)
            synchronize()
            step += 1
            if settled:
                times.append(time.perf_counter() - began)
            if len(times) >= LEAST_STEPS and sum(times) >= seconds:
                break
        row = flat_out_row(level, size / SAMPLE_RATE, times)
        keep(row)
        if not row["in_time"]:
            break


def synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
