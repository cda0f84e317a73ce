"""Real speech on a laptop: Silero says when somebody speaks, Moonshine says what.

A step listens to every row and never waits for a decoder: utterances are decoded in a few threads, and what
is ready goes out with the next step. Finals come first, the oldest deadline first; then utterances whose
speaker has paused, so that the final is there when the pause is long enough; then partials, the oldest
first, in what threads and computing time are left. So under load partials thin out before finals are late.
What is finally said depends on the stream's own audio alone, never on load or on other streams.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

import numpy as np
import structlog

from inference_worker.engines.alignment import align
from inference_worker.engines.base import EngineInfo, Row, StepResult
from inference_worker.engines.credit import Credit
from inference_worker.engines.listener import Job, Kind, Listener
from inference_worker.engines.moonshine_model import MoonshineModel
from inference_worker.engines.silero import WINDOW, SpeechDetector
from inference_worker.places import place
from wire.messages import SAMPLE_RATE, StreamOptions, Word

CHUNK_SAMPLES = 3 * WINDOW  # 96 ms
CHUNK_S = CHUNK_SAMPLES / SAMPLE_RATE
PATIENCE_S = 0.01  # a step that has nothing to hear waits this long for a decoder
PARTIAL_SHARE = 0.5  # of each core

log = structlog.get_logger("worker.moonshine")


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
        # Finals that wait for a thread, as a heap: a stream that is sent faster than speech has its deadlines
        # in the future, so its pieces do not delay live ones.
        self._due: list[tuple[float, int, Job]] = []
        self._count = itertools.count()
        self._running: dict[Future[None], Job] = {}
        self._credit = Credit(PARTIAL_SHARE * parallel, clock())

    @property
    def backlog(self) -> bool:
        return bool(self._running or self._due)

    def warm_up(self) -> None:
        noise = np.random.default_rng(0).normal(0, 0.01, 4 * SAMPLE_RATE).astype(np.float32)
        list(self._pool.map(self._model.hear, [noise] * self._parallel))

    def open(self, slot: int, options: StreamOptions, start: int) -> None:
        self._detector.reset(slot)
        self._listeners[slot] = Listener(slot, options, start, self._clock())

    def close(self, slot: int) -> None:
        if listener := self._listeners.pop(slot, None):
            self._due = [entry for entry in self._due if entry[2].listener is not listener]
            heapq.heapify(self._due)

    def shut_down(self) -> None:
        self._listeners.clear()
        self._due.clear()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def step(self, rows: Sequence[Row]) -> StepResult:
        self._credit.earn(self._clock())
        self._listen(rows)
        self._start()
        failed = self._collect(0.0 if rows else PATIENCE_S)
        self._start()
        now, speakers = self._clock(), len(self._speaking())
        for listener in self._listeners.values():
            soon = self._credit.left and listener.rested(now + CHUNK_S, speakers)
            listener.speak(now, glances_soon=soon)
        reports = [listener for listener in self._listeners.values() if listener.has_something_to_say]
        return StepResult([listener.output() for listener in reports], failed)

    # ---- listening

    def _listen(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self._listeners[row.slot].hear(row.samples)
        listening = [self._listeners[row.slot] for row in rows]
        while windows := [
            (listener, window) for listener in listening if (window := listener.next_window()) is not None
        ]:
            chances = self._detector.probabilities([(one.slot, window) for one, window in windows])
            for (listener, window), chance in zip(windows, chances, strict=True):
                self._queue(listener.judge(window, float(chance)))
        for row in rows:
            if row.flush or row.last:
                self._queue(self._listeners[row.slot].flush(last=row.last))

    def _queue(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            heapq.heappush(self._due, (job.deadline, next(self._count), job))

    # ---- decoding

    def _start(self) -> None:
        waiting = []
        while self._due and len(self._running) < self._parallel:
            entry = heapq.heappop(self._due)
            if entry[2].may_begin:
                self._submit(entry[2])
            else:
                waiting.append(entry)
        for entry in waiting:
            heapq.heappush(self._due, entry)
        if len(self._running) < self._parallel and self._credit.left:
            for job in self._early_jobs(self._parallel - len(self._running)):
                self._submit(job)

    def _submit(self, job: Job) -> None:
        self._running[self._pool.submit(self._hear, job)] = job

    def _early_jobs(self, room: int) -> Iterator[Job]:
        """Utterances whose speaker has paused, then partials; these leave a thread for the next final."""
        live = [listener for listener in self._listeners.values() if not listener.options.recorded]
        for listener in live:
            if room and (job := listener.settle()):
                room -= 1
                yield job
        if self._parallel > 1:
            room = min(room, self._parallel - 1 - sum(j.kind is Kind.PARTIAL for j in self._running.values()))
        now = self._clock()
        speaking = self._speaking()
        for listener in sorted(speaking, key=lambda listener: listener.glanced_at):
            if room > 0 and listener.rested(now, len(speaking)) and (job := listener.glance(now)):
                room -= 1
                yield job

    def _speaking(self) -> list[Listener]:
        """Those of whose speech the client wants to hear while it goes on."""
        return [listener for listener in self._listeners.values() if listener.wants_partials]

    def _hear(self, job: Job) -> None:
        """In a thread of the pool."""
        begun = time.perf_counter()
        try:
            careful = job.kind is not Kind.PARTIAL
            hearing = self._model.hear(job.spoken, carefully=careful, context=job.context)
            job.tokens = hearing.tokens
            texts = [word.text for word in hearing.words]
            times = align(texts, job.spoken, job.piece.begin, job.piece.windows)
            job.words = tuple(
                Word(word.text, start, end, word.confidence)
                for word, (start, end) in zip(hearing.words, times, strict=True)
            )
        except Exception as error:
            job.error = error
        job.seconds = time.perf_counter() - begun

    def _collect(self, patience_s: float) -> dict[int, str]:
        """Take what the decoders have ready; returns the slots whose stream failed."""
        if not self._running:
            return {}
        failed = {}
        for future in wait(self._running, patience_s, FIRST_COMPLETED).done:
            job = self._running.pop(future)
            self._credit.spend(job.seconds)
            job.let_go()
            listener = self._listeners.get(job.listener.slot)
            if listener is not job.listener:
                continue  # closed meanwhile, and the slot may be another stream's
            if job.error is not None:
                log.error("decoding failed", error=place(job.error))
                failed[listener.slot] = "engine_failed"
                self.close(listener.slot)
            else:
                listener.take(job)
        return failed
