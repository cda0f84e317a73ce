"""Real speech on a laptop: Silero says when somebody speaks, Moonshine says what.

A step listens to every row, then decodes within a time budget: finals first, oldest first; then utterances
whose speaker has paused, so that the final is there when the pause is long enough; then partials, the oldest
first, from a credit of computing time that finals use up, too. So under load partials thin out before finals
are late. What is finally said of an utterance depends on its audio alone, never on load or other streams.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np
import structlog

from inference_worker.engines.alignment import align
from inference_worker.engines.base import EngineInfo, Row, Samples, StepResult
from inference_worker.engines.credit import Credit
from inference_worker.engines.endpointing import Piece
from inference_worker.engines.listener import Listener, Words
from inference_worker.engines.moonshine_model import MoonshineModel
from inference_worker.engines.silero import WINDOW, SpeechDetector
from inference_worker.places import place
from wire.messages import SAMPLE_RATE, StreamOptions, Word

CHUNK_SAMPLES = 3 * WINDOW  # 96 ms
STEP_BUDGET_S = 0.1
SILENCE_AFTER = SAMPLE_RATE // 2  # the model loses the last word of audio that ends abruptly
PARTIAL_EVERY_S = 0.4
PARTIAL_COSTS_TIMES = 5  # one that took long is not repeated soon
PARTIAL_LEAST_SAMPLES = SAMPLE_RATE // 2
PARTIAL_SHARE = 0.5  # of each core

log = structlog.get_logger("worker.moonshine")


class Kind(Enum):
    FINAL = auto()
    FLUSH = auto()  # nothing to decode: it is complete once the finals before it are
    SETTLED = auto()  # a final-to-be, while the speaker pauses
    PARTIAL = auto()


@dataclass
class Job:
    kind: Kind
    listener: Listener
    piece: Piece | None = None
    samples: Samples | None = None
    words: Words = ()
    seconds: float = 0.0
    error: Exception | None = None


class MoonshineEngine:
    def __init__(
        self,
        max_streams: int = 64,
        *,
        parallel: int = 2,
        model: MoonshineModel | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """`parallel` utterances are decoded at a time, on one core each."""
        self.info = EngineInfo(
            name="moonshine",
            model="moonshine-tiny-en",
            version="0.0.73",
            arch="moonshine",
            languages=("en",),
            chunk_samples=CHUNK_SAMPLES,
            max_streams=max_streams,
            max_batch=max_streams,
        )
        self._model = model or MoonshineModel()
        self._detector = SpeechDetector(max_streams)
        self._pool = ThreadPoolExecutor(parallel, "decode")
        self._parallel, self._clock = parallel, clock
        self._listeners: dict[int, Listener] = {}
        self._due: deque[Job] = deque()  # finals and flushes of all slots, in the order in which they came
        self._credit = Credit(PARTIAL_SHARE * parallel, clock())

    @property
    def backlog(self) -> bool:
        return bool(self._due)

    def warm_up(self) -> None:
        noise = np.random.default_rng(0).normal(0, 0.01, 4 * SAMPLE_RATE).astype(np.float32)
        list(self._pool.map(self._model.hear, [noise] * self._parallel))

    def open(self, slot: int, options: StreamOptions, start: int) -> None:
        self._detector.reset(slot)
        self._listeners[slot] = Listener(slot, options, start, self._clock())

    def close(self, slot: int) -> None:
        if listener := self._listeners.pop(slot, None):
            self._due = deque(job for job in self._due if job.listener is not listener)

    def shut_down(self) -> None:
        self._listeners.clear()
        self._due.clear()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def step(self, rows: Sequence[Row]) -> StepResult:
        deadline = self._clock() + STEP_BUDGET_S
        self._credit.earn(self._clock())
        self._listen(rows)
        failed: dict[int, str] = {}
        while jobs := list(self._next_jobs()):
            self._run(jobs)
            for job in jobs:
                self._take(job, failed)
            if self._clock() > deadline:
                break
        reports = [listener for listener in self._listeners.values() if listener.report is not None]
        return StepResult([listener.output() for listener in reports], failed)

    # ---- listening

    def _listen(self, rows: Sequence[Row]) -> None:
        for row in rows:
            listener = self._listeners[row.slot]
            listener.say()
            listener.hear(row.samples)
        listening = [self._listeners[row.slot] for row in rows]
        while windows := [
            (listener, window) for listener in listening if (window := listener.next_window()) is not None
        ]:
            chances = self._detector.probabilities([(one.slot, window) for one, window in windows])
            for (listener, window), chance in zip(windows, chances, strict=True):
                self._queue(listener, listener.judge(window, float(chance)))
        for row in rows:
            if row.flush or row.last:
                listener = self._listeners[row.slot]
                self._queue(listener, listener.flush(last=row.last))
                self._due.append(Job(Kind.FLUSH, listener))

    def _queue(self, listener: Listener, pieces: Sequence[tuple[Piece, Samples]]) -> None:
        self._due.extend(Job(Kind.FINAL, listener, piece, samples) for piece, samples in pieces)

    # ---- decoding

    def _next_jobs(self) -> Iterator[Job]:
        """As many that take time as are decoded at a time, and those between them that take none."""
        room = self._parallel
        while self._due and room:
            job = self._due.popleft()
            room -= self._takes_time(job)
            yield job
        if self._credit.left:
            yield from self._early_jobs(room)

    def _takes_time(self, job: Job) -> bool:
        """False for a flush, for noise, and for what was heard while the speaker paused."""
        if job.piece is None or not job.piece.worth_hearing:
            job.samples = None
        elif (words := job.listener.knows(job.piece)) is not None:
            job.words, job.samples = words, None
        return job.samples is not None

    def _early_jobs(self, room: int) -> Iterator[Job]:
        live = [listener for listener in self._listeners.values() if not listener.options.recorded]
        settled = [(one, piece) for one in live if (piece := one.settled) and piece.worth_hearing]
        for listener, piece in settled[:room]:
            yield Job(Kind.SETTLED, listener, piece, listener.audio(piece))
        now = self._clock()
        growing = [
            (listener.partial_at, listener.slot, listener, piece)
            for listener in live
            if (piece := listener.running)
            and listener.options.interim_results
            and listener.settled is None
            and piece.end - piece.begin >= PARTIAL_LEAST_SAMPLES
            and piece.end - listener.partial_end >= PARTIAL_LEAST_SAMPLES // 2
            and now - listener.partial_at >= max(PARTIAL_EVERY_S, PARTIAL_COSTS_TIMES * listener.partial_cost)
        ]
        for _, _, listener, piece in sorted(growing, key=lambda entry: entry[:2])[
            : max(0, room - len(settled))
        ]:
            yield Job(Kind.PARTIAL, listener, piece, listener.audio(piece))

    def _run(self, jobs: Sequence[Job]) -> None:
        heavy = [job for job in jobs if job.samples is not None]
        if len(heavy) == 1:
            self._hear(heavy[0])
        else:
            list(self._pool.map(self._hear, heavy))

    def _hear(self, job: Job) -> None:
        """In a thread of the pool."""
        if job.piece is None or job.samples is None:
            return
        begun = time.perf_counter()
        try:
            heard = self._model.hear(np.pad(job.samples, (0, SILENCE_AFTER)))
            times = align([word.text for word in heard], job.samples, job.piece.begin, job.piece.windows)
            job.words = tuple(
                Word(word.text, start, end, word.confidence)
                for word, (start, end) in zip(heard, times, strict=True)
            )
        except Exception as error:
            job.error = error
        job.seconds = time.perf_counter() - begun

    def _take(self, job: Job, failed: dict[int, str]) -> None:
        listener = job.listener
        self._credit.spend(job.seconds)
        if job.error is not None:
            log.error("decoding failed", error=place(job.error))
            failed[listener.slot] = "engine_failed"
            self.close(listener.slot)
        elif job.piece is None:
            listener.say().flushed = True
        elif job.kind is Kind.FINAL:
            listener.say_final(job.piece, job.words)
        else:
            if job.kind is Kind.SETTLED:
                listener.heard_settled = (job.piece, job.words)
            listener.partial_at, listener.partial_cost = self._clock(), job.seconds
            listener.partial_end = job.piece.end
            if listener.options.interim_results:
                listener.say_partial(job.piece, job.words)
