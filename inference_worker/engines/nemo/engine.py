"""Cache-aware RNNT models of NeMo's, served: all rows of a step go through the model as one batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

from inference_worker.engines.base import EngineError, EngineInfo, EngineOutOfMemory, Row, StepResult
from inference_worker.engines.nemo.listener import Grid, Listener
from inference_worker.engines.nemo.loading import Loaded
from inference_worker.engines.nemo.recogniser import SAMPLE_RATE, Chunk, Recogniser
from inference_worker.engines.nemo.words import Vocabulary
from wire.messages import StreamOptions

BULK_S = 2.0  # of recorded audio in a row
MOST_ROWS = 512  # in a step; more would make all of them late


class NemoEngine:
    backlog = False

    def __init__(
        self,
        loaded: Loaded,
        max_streams: int,
        *,
        deterministic: bool = False,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        most_rows = min(max_streams, MOST_ROWS)
        self._recogniser = Recogniser(loaded, max_streams, most_rows, one_bucket=deterministic)
        self._vocabulary = vocabulary(loaded)
        chunk = self._recogniser.chunk_samples
        self._grid = Grid(chunk, self._recogniser.frame_samples)
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
            max_batch=most_rows,
            bulk_chunks=max(2, round(BULK_S * SAMPLE_RATE / chunk)),
        )

    def warm_up(self) -> None:
        self._recogniser.warm_up()

    def open(self, slot: int, options: StreamOptions, start: int) -> None:
        self._recogniser.open(slot, options.keyterms)
        self._listeners[slot] = Listener(slot, options, start, self._vocabulary, self._grid, self._clock())

    def close(self, slot: int) -> None:
        self._recogniser.close(slot)
        self._listeners.pop(slot, None)

    def shut_down(self) -> None:
        self._listeners.clear()

    def step(self, rows: Sequence[Row]) -> StepResult:
        self._hear(rows)
        now = self._clock()
        for row in rows:
            if row.flush or row.last:
                self._listeners[row.slot].flush(last=row.last)
        return StepResult([self._listeners[row.slot].output(now) for row in rows])

    def _hear(self, rows: Sequence[Row]) -> None:
        """The first chunk of every row, then the second of those that have more, and so on."""
        size, begin = self._grid.chunk, 0
        while going := [row for row in rows if len(row.samples) > begin]:
            chunks = [
                self._listeners[row.slot].chunk(
                    row.samples[begin : begin + size], flush=row.flush, last=row.last
                )
                for row in going
            ]
            self._recognise(chunks, may_give_up=begin == 0)
            begin += size

    def _recognise(self, chunks: Sequence[Chunk], *, may_give_up: bool) -> None:
        """`may_give_up`: nothing of the step has been heard yet, so all of it can be given again."""
        try:
            sounds = self._recogniser.step(chunks)
        except torch.OutOfMemoryError as error:
            if may_give_up:
                raise EngineOutOfMemory(f"{len(chunks)} rows were too many") from error
            if len(chunks) == 1:
                raise EngineError("there is no memory for a single row") from error
            half = len(chunks) // 2
            self._recognise(chunks[:half], may_give_up=False)
            self._recognise(chunks[half:], may_give_up=False)
            return
        for chunk, sound in zip(chunks, sounds, strict=True):
            self._listeners[chunk.slot].take(chunk, sound)


def vocabulary(loaded: Loaded) -> Vocabulary:
    tokenizer = loaded.model.tokenizer
    pieces = tuple(tokenizer.ids_to_tokens(list(range(len(loaded.model.joint.vocabulary)))))
    marks = frozenset(piece for piece in pieces if piece and not any(c.isalnum() or c == "▁" for c in piece))
    return Vocabulary(pieces, tokenizer.ids_to_text, marks)
