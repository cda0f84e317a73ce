"""Real speech on a laptop: Silero says when somebody speaks, Moonshine says what.

A step listens to every row and never waits for a decoder: utterances are decoded in a few threads, and what
is ready goes out with the next step. Finals come first, the oldest deadline first; then utterances whose
speaker has paused, so that the final is there when the pause is long enough; then partials, the oldest
first, in what threads and computing time are left. So under load partials thin out before finals are late.
Recorded audio gets what is left of the threads then, and all of them where nobody is live.
What is finally said depends on the stream's own audio alone, never on load or on other streams.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections import deque
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
BULK_CHUNKS = 10
# A piece of recorded audio that has waited this long takes its turn among the live finals: one at a time, and
# then the live have as long for themselves.
RECORDED_PATIENCE_S = 5.0

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
            bulk_chunks=BULK_CHUNKS,
        )
        self._model = model or MoonshineModel()
        self._detector = SpeechDetector(max_streams)
        self._pool = ThreadPoolExecutor(parallel, "decode")
        self._parallel, self._clock = parallel, clock
        self._listeners: dict[int, Listener] = {}
        # Finals that wait for a thread, as a heap: a stream that is sent faster than speech has its deadlines
        # in the future, so its pieces do not delay others.
        self._due: list[tuple[float, int, Job]] = []
        self._recorded: deque[tuple[float, Job]] = deque()  # with when their patience ends
        self._recorded_rests_until = clock()
        self._count = itertools.count()
        self._running: dict[Future[None], Job] = {}
        self._credit = Credit(PARTIAL_SHARE * parallel, clock())

    @property
    def backlog(self) -> bool:
        return bool(self._running or self._due or self._recorded)

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
            self._recorded = deque(entry for entry in self._recorded if entry[1].listener is not listener)

    def shut_down(self) -> None:
        self._listeners.clear()
        self._due.clear()
        self._recorded.clear()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def step(self, rows: Sequence[Row]) -> StepResult:
        self._credit.earn(self._clock())
        self._listen(rows)
        self._start()
        failed = self._collect(0.0 if rows else PATIENCE_S)
        self._start()
        now = self._clock()
        for listener in self._listeners.values():
            listener.speak(now, again_soon=bool(self._running))
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
            if job.listener.options.recorded:
                self._recorded.append((self._clock() + RECORDED_PATIENCE_S, job))
            else:
                heapq.heappush(self._due, (job.deadline, next(self._count), job))

    # ---- decoding

    def _start(self) -> None:
        while self._free and (job := self._next_final()):
            self._submit(job)
        if self._free and self._credit.left:
            for job in self._settling():
                self._submit(job)
        # What follows can wait: while anybody is live, it leaves a thread for the next final.
        if self._credit.left:
            for job in self._glances(self._room_beside_live()):
                self._submit(job)
        while self._room_beside_live() > 0 and (job := self._next_recorded()):
            self._submit(job)

    @property
    def _free(self) -> int:
        return self._parallel - len(self._running)

    def _submit(self, job: Job) -> None:
        self._running[self._pool.submit(self._hear, job)] = job

    def _next_final(self) -> Job | None:
        """The live one with the first deadline, unless recorded audio's patience has ended before that."""
        job = None
        waiting = []
        while self._due and job is None:
            entry = heapq.heappop(self._due)
            if entry[2].may_begin:
                job = entry[2]
            else:
                waiting.append(entry)
        for entry in waiting:
            heapq.heappush(self._due, entry)
        now = self._clock()
        rested = now >= self._recorded_rests_until and not self._recorded_running
        overdue = bool(self._recorded) and self._recorded[0][0] < (job.deadline if job else now)
        if overdue and rested and (recorded := self._next_recorded()):
            if job is not None:
                heapq.heappush(self._due, (job.deadline, next(self._count), job))
            return recorded
        return job

    def _next_recorded(self) -> Job | None:
        for entry in self._recorded:
            if entry[1].may_begin:
                self._recorded.remove(entry)
                return entry[1]
        return None

    @property
    def _recorded_running(self) -> int:
        return sum(job.listener.options.recorded for job in self._running.values())

    def _room_beside_live(self) -> int:
        """Less than nothing where recorded audio took its turn beside a partial."""
        if all(listener.options.recorded for listener in self._listeners.values()):
            return self._free
        beside = self._recorded_running + sum(job.kind is Kind.PARTIAL for job in self._running.values())
        return min(self._free, max(1, self._parallel - 1) - beside)

    def _settling(self) -> Iterator[Job]:
        """Utterances whose speaker has paused."""
        for listener in self._listeners.values():
            if not self._free:
                return
            if not listener.options.recorded and (job := listener.settle()):
                yield job

    def _glances(self, room: int) -> Iterator[Job]:
        now, speaking = self._clock(), self._speaking()
        for listener in sorted(speaking, key=lambda listener: listener.glanced_at):
            if room > 0 and listener.rested(now, len(speaking)) and (job := listener.glance(now)):
                room -= 1
                yield job

    def _speaking(self) -> list[Listener]:
        """Those of whose speech the client wants to hear while it goes on."""
        return [listener for listener in self._listeners.values() if listener.wants_partials]

    def _hear(self, job: Job) -> None:
        """In a thread of the pool."""
        begun = self._clock()
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
        job.seconds = self._clock() - begun

    def _collect(self, patience_s: float) -> dict[int, str]:
        """Take what the decoders have ready; returns the slots whose stream failed."""
        if not self._running:
            return {}
        failed = {}
        for future in wait(self._running, patience_s, FIRST_COMPLETED).done:
            job = self._running.pop(future)
            if job.listener.options.recorded:
                self._recorded_rests_until = self._clock() + job.seconds
            else:
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
