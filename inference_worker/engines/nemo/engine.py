"""Cache-aware RNNT models of NeMo's, served: all rows of a step go through the model as one batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import structlog
import torch

from inference_worker.engines.base import (
    ENGINE_FAILED,
    RECORDED_ROWS,
    EngineInfo,
    EngineOutOfMemory,
    EngineStartError,
    Memory,
    Output,
    Row,
    StepResult,
)
from inference_worker.engines.nemo import memory
from inference_worker.engines.nemo.allocator import keep_memory
from inference_worker.engines.nemo.graphs import Capture
from inference_worker.engines.nemo.listener import Grid, Listener
from inference_worker.engines.nemo.loading import Loaded
from inference_worker.engines.nemo.recogniser import Chunk, Recogniser, Sound
from inference_worker.engines.nemo.words import Vocabulary
from inference_worker.places import place
from wire.messages import SAMPLE_RATE, StreamOptions

BULK_S = 0.64  # of recorded audio in a row: a live chunk that comes meanwhile waits for all of it
MOST_ROWS = 512  # in a step; more would make all of them late

log = structlog.get_logger("worker")


class NemoEngine:
    backlog = False

    def __init__(
        self,
        loaded: Loaded,
        max_streams: int,
        *,
        deterministic: bool = False,
        languages: tuple[str, ...] = ("en",),
        capture: Capture | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        most_rows = min(max_streams, MOST_ROWS)
        self._recogniser = Recogniser(
            loaded, max_streams, most_rows, one_bucket=deterministic, capture=capture
        )
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
            languages=languages,
            chunk_samples=chunk,
            max_streams=max_streams,
            max_batch=most_rows,
            bulk_chunks=max(2, round(BULK_S * SAMPLE_RATE / chunk)),
            # Rows of recorded audio are no longer than others beside live ones, and a GPU has room for them.
            recorded_rows=most_rows // 4 if loaded.device.type == "cuda" else RECORDED_ROWS,
            buckets=self._recogniser.buckets,
            atomic=True,
        )

    def warm_up(self) -> None:
        try:
            self._recogniser.warm_up()
        except torch.OutOfMemoryError:
            raise EngineStartError(
                f"MAX_STREAMS is {self.info.max_streams}, and there is no memory for steps of "
                f"{self.info.max_batch} rows beside so many streams. Lower it."
            ) from None

    def open(self, slot: int, options: StreamOptions, start: int) -> None:
        self._recogniser.open(slot, options.keyterms)
        self._listeners[slot] = Listener(slot, options, start, self._vocabulary, self._grid, self._clock())

    def close(self, slot: int) -> None:
        self._recogniser.close(slot)
        self._listeners.pop(slot, None)

    def shut_down(self) -> None:
        self._listeners.clear()

    def step(self, rows: Sequence[Row]) -> StepResult:
        failed = self._hear(rows)
        now = self._clock()
        outputs = []
        for row in rows:
            if row.slot in failed:
                continue
            try:
                outputs.append(self._answer(row, now))
            except Exception as error:
                failed |= _failed(row.slot, error)
        return StepResult(outputs, dict.fromkeys(failed, ENGINE_FAILED))

    def memory(self) -> Memory | None:
        return memory.read()

    def _answer(self, row: Row, now: float) -> Output:
        listener = self._listeners[row.slot]
        if row.flush or row.last:
            listener.flush(last=row.last)
        return listener.output(now)

    def _hear(self, rows: Sequence[Row]) -> set[int]:
        """The first chunk of every row, then the second of those that have more, and so on. Returns the slots
        that could not be heard to the end of their row. What the model raises at the first chunk gets out."""
        size, begin = self._grid.chunk, 0
        failed: set[int] = set()
        while going := [row for row in rows if len(row.samples) > begin and row.slot not in failed]:
            chunks = [
                self._listeners[row.slot].chunk(
                    row.samples[begin : begin + size], flush=row.flush, last=row.last
                )
                for row in going
            ]
            failed |= self._hear_first(chunks) if begin == 0 else self._hear_more(chunks)
            begin += size
        return failed

    def _hear_first(self, chunks: Sequence[Chunk]) -> set[int]:
        """Raises what went wrong; nothing has changed then."""
        try:
            sounds = self._recogniser.step(chunks)
        except torch.OutOfMemoryError as error:
            raise EngineOutOfMemory(f"{len(chunks)} rows were too many") from error
        return self._take(chunks, sounds)

    def _hear_more(self, chunks: Sequence[Chunk]) -> set[int]:
        """In halves where all of them is too much, down to the one that cannot be."""
        try:
            sounds = self._recogniser.step(chunks)
        except Exception as error:
            if len(chunks) == 1:
                return _failed(chunks[0].slot, error)
            half = len(chunks) // 2
            return self._hear_more(chunks[:half]) | self._hear_more(chunks[half:])
        return self._take(chunks, sounds)

    def _take(self, chunks: Sequence[Chunk], sounds: Sequence[Sound]) -> set[int]:
        """Raises nothing: the model has heard all of them, so none may be given again."""
        failed: set[int] = set()
        for chunk, sound in zip(chunks, sounds, strict=True):
            try:
                self._listeners[chunk.slot].take(chunk, sound)
            except Exception as error:
                failed |= _failed(chunk.slot, error)
        return failed


def _failed(slot: int, error: Exception) -> set[int]:
    log.error("a row failed and no other", error=place(error))
    return {slot}


def create(
    loaded: Loaded,
    max_streams: int,
    *,
    threads: int,
    deterministic: bool = False,
    languages: tuple[str, ...] = ("en",),
    capture: Capture | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> NemoEngine:
    """With what it changes for the whole process: threads, and what becomes of memory."""
    torch.set_num_threads(threads)
    keep_memory()
    try:
        return NemoEngine(
            loaded,
            max_streams,
            deterministic=deterministic,
            languages=languages,
            capture=capture,
            clock=clock,
        )
    except torch.OutOfMemoryError:
        raise EngineStartError(
            f"MAX_STREAMS is {max_streams}, and {loaded.device} has no memory for so many. Lower it."
        ) from None


def vocabulary(loaded: Loaded) -> Vocabulary:
    tokenizer = loaded.model.tokenizer
    pieces = tuple(tokenizer.ids_to_tokens(list(range(len(loaded.model.joint.vocabulary)))))
    marks = frozenset(piece for piece in pieces if piece and not any(c.isalnum() or c == "▁" for c in piece))
    return Vocabulary(pieces, tokenizer.ids_to_text, marks)
