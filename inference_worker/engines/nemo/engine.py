"""Cache-aware RNNT models of NeMo's, served: all rows of a step go through the model as one batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from inference_worker.engines.base import EngineInfo, EngineOutOfMemory, Row, Samples, StepResult
from inference_worker.engines.nemo.listener import Grid, Listener
from inference_worker.engines.nemo.loading import Loaded
from inference_worker.engines.nemo.recogniser import Chunk, Recogniser
from inference_worker.engines.nemo.words import Vocabulary
from inference_worker.engines.silero import SpeechDetector
from wire.messages import StreamOptions

BULK_S = 2.0  # of recorded audio in a row


class NemoEngine:
    def __init__(
        self, loaded: Loaded, max_streams: int, *, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._recogniser = Recogniser(loaded, max_streams)
        self._vocabulary = vocabulary(loaded)
        chunk = self._recogniser.chunk_samples
        self._grid = Grid(chunk, self._recogniser.frame_samples)
        self._detector = SpeechDetector(max_streams)
        self._clock = clock
        self._listeners: dict[int, Listener] = {}
        self.info = EngineInfo(
            name="nemo",
            model=loaded.name,
            version=str(getattr(loaded.model.cfg, "nemo_version", "unknown")),
            arch="fastconformer-rnnt",
            languages=("en",),
            chunk_samples=chunk,
            max_streams=max_streams,
            max_batch=max_streams,
            bulk_chunks=max(2, round(BULK_S * 16_000 / chunk)),
        )

    backlog = False

    def warm_up(self) -> None:
        """A step of each size that the first streams may need, in slots that are nobody's."""
        free = [slot for slot in range(self.info.max_streams) if slot not in self._listeners]
        noise = np.random.default_rng(0).normal(0, 0.01, self._grid.chunk).astype(np.float32)
        for size in sorted({1, len(free)} - {0}):
            for slot in free[:size]:
                self._recogniser.open(slot)
            self._recogniser.step([Chunk(slot, noise) for slot in free[:size]])

    def open(self, slot: int, options: StreamOptions, start: int) -> None:
        self._detector.reset(slot)
        self._recogniser.open(slot)
        self._listeners[slot] = Listener(slot, options, start, self._vocabulary, self._grid, self._clock())

    def close(self, slot: int) -> None:
        self._listeners.pop(slot, None)

    def shut_down(self) -> None:
        self._listeners.clear()

    def step(self, rows: Sequence[Row]) -> StepResult:
        self._recognise(rows)
        self._detect(rows)
        now = self._clock()
        for row in rows:
            if row.flush or row.last:
                self._listeners[row.slot].flush(last=row.last)
        return StepResult([self._listeners[row.slot].output(now) for row in rows])

    def _recognise(self, rows: Sequence[Row]) -> None:
        waiting = {
            row.slot: self._listeners[row.slot].chunks(row.samples, flush=row.flush, last=row.last) for row in rows
        }
        while batch := [
            Chunk(slot, chunk) for slot, chunks in waiting.items() if (chunk := next(chunks, None)) is not None
        ]:
            try:
                heard = self._recogniser.step(batch)
            except torch.OutOfMemoryError as error:
                raise EngineOutOfMemory(f"{len(batch)} rows were too many") from error
            for chunk, tokens in zip(batch, heard, strict=True):
                self._listeners[chunk.slot].take(tokens)

    def _detect(self, rows: Sequence[Row]) -> None:
        listening = [self._listeners[row.slot] for row in rows]
        while windows := [(one, window) for one in listening if (window := one.next_window()) is not None]:
            chances = self._detector.probabilities([(one.slot, window) for one, window in windows])
            for (listener, window), chance in zip(windows, chances, strict=True):
                listener.judge(window, float(chance))


def vocabulary(loaded: Loaded) -> Vocabulary:
    tokenizer = loaded.model.tokenizer
    pieces = tuple(tokenizer.ids_to_tokens(list(range(len(loaded.model.joint.vocabulary)))))
    marks = frozenset(piece for piece in pieces if piece and not any(c.isalnum() or c == "▁" for c in piece))
    return Vocabulary(pieces, tokenizer.ids_to_text, marks)
