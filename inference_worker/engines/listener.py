"""What the moonshine engine knows of the stream in one slot."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np

from inference_worker.engines.base import Hypothesis, Output, Samples
from inference_worker.engines.endpointing import Endpointer, Piece, pause_samples
from inference_worker.engines.moonshine_model import NOTHING, Context
from inference_worker.engines.partials import Partials, Words
from inference_worker.engines.report import Report, milliseconds
from inference_worker.engines.silero import WINDOW
from inference_worker.engines.tape import Tape
from wire.messages import SAMPLE_RATE, StreamOptions

# How far back the finals begin that an utterance is heard after.
CONTEXT = 5 * SAMPLE_RATE
# Less than this, with the little before the first speech, is not worth a partial.
FIRST_PARTIAL = SAMPLE_RATE // 2
GLANCE_EVERY_S = 0.25  # so with the third chunk, 288 ms after the last
GLANCE_COSTS_TIMES = 6


class Kind(Enum):
    FINAL = auto()
    SETTLED = auto()  # a final-to-be, while the speaker pauses
    PARTIAL = auto()


@dataclass(eq=False)
class Job:
    """A piece to be decoded for a listener, and then what was heard."""

    kind: Kind
    listener: Listener
    piece: Piece
    samples: Samples
    deadline: float  # when its last sample was said, had the stream come at the pace of speech
    before: tuple[Job, ...] = ()  # the finals right before it, which are heard first and lend their context
    done: bool = False
    words: Words = ()
    tokens: tuple[int, ...] = ()
    seconds: float = 0.0
    error: Exception | None = None

    def let_go(self) -> None:
        """Once heard, only the words and tokens are needed: else each job would hold all before it."""
        self.before, self.samples = (), self.samples[:0]

    @property
    def may_begin(self) -> bool:
        return all(job.done for job in self.before)

    @property
    def context(self) -> Context:
        if not self.before:
            return NOTHING
        heard = self.piece.begin - self.before[0].piece.begin
        return Context(self.samples[:heard], tuple(token for job in self.before for token in job.tokens))

    @property
    def spoken(self) -> Samples:
        """The samples of the piece itself."""
        return self.samples[len(self.samples) - (self.piece.end - self.piece.begin) :]


@dataclass(eq=False)
class Flush:
    """Complete once the finals before it are said."""

    done: bool = True


class Listener:
    def __init__(self, slot: int, options: StreamOptions, start: int, now: float) -> None:
        self.slot, self.options = slot, options
        self.glanced_at, self.glance_cost = now, 0.0
        self._glancing: Job | None = None
        self._glanced_to = start
        self._partials = Partials(now)
        self._spoke = False  # something was said since the last final that told of a pause
        self._opened_at, self._start = now, start
        self._settled: Job | None = None  # the last piece that was heard early, or is being heard
        self._to_say: deque[Job | Flush] = deque()  # in the order in which it must be said
        self._finals: deque[Job] = deque()  # the last ones, as far back as a context reaches
        self._endpointer = Endpointer(pause_samples(options.endpointing_ms), start)
        self._tape = Tape(start)
        self._rest = np.zeros(0, np.float32)  # of a window that is not complete
        self._processed = self._confirmed = start
        self._report: Report | None = None

    # ---- what comes in

    def hear(self, samples: Samples) -> None:
        self._say()
        self._tape.add(samples)
        self._rest = np.concatenate([self._rest, samples])

    def next_window(self) -> Samples | None:
        if len(self._rest) < WINDOW:
            return None
        window, self._rest = self._rest[:WINDOW], self._rest[WINDOW:]
        return window

    def judge(self, window: Samples, probability: float) -> list[Job]:
        """Take note of how likely the window is speech; returns what is to be decoded now."""
        level = float(10 * np.log10(np.square(window).mean() + 1e-8))
        pieces, started = self._endpointer.feed(self._endpointer.position + WINDOW, probability, level)
        if started is not None:
            self._say().speech_started_ms = milliseconds(started)
        return self._complete(pieces)

    def flush(self, *, last: bool) -> list[Job]:
        jobs = self._complete(self._endpointer.flush(self._tape.end, last=last))
        self._to_say.append(Flush())
        return jobs

    def _complete(self, pieces: list[Piece]) -> list[Job]:
        """Final jobs for the pieces, but for those that need no decoding, or not again."""
        jobs = []
        for piece in pieces:
            job = self._settled
            if job is not None and (job.piece.begin, job.piece.end) == (piece.begin, piece.end):
                job.piece = piece
            else:
                job = self._job(Kind.FINAL, piece)
                jobs += [] if job.done else [job]
            job.kind = Kind.FINAL
            self._to_say.append(job)
            self._finals.append(job)
            self._partials.next_piece()
            self._settled = None
        while self._finals and self._endpointer.needed_from - self._finals[0].piece.begin > CONTEXT:
            self._finals.popleft()
        self._tape.forget_before(self._endpointer.needed_from - CONTEXT)
        return jobs

    # ---- what may be heard before it is final

    def settle(self) -> Job | None:
        """The utterance as it will be if the speaker's pause goes on, unless it is known already."""
        piece = self._endpointer.settled
        if piece is None or not piece.worth_hearing:
            return None
        known = self._settled
        if known is not None and (known.piece.begin, known.piece.end) == (piece.begin, piece.end):
            return None
        job = self._job(Kind.SETTLED, piece)
        self._settled = job if job.may_begin else None
        return self._settled

    @property
    def wants_partials(self) -> bool:
        options = self.options
        return options.interim_results and not options.recorded and self._endpointer.speaking

    def rested(self, now: float, speakers: int) -> bool:
        """True if it is time for the next partial. One that took long is not repeated soon."""
        times = min(GLANCE_COSTS_TIMES, 1 + speakers)
        return now - self.glanced_at >= max(GLANCE_EVERY_S, times * self.glance_cost)

    def glance(self, now: float) -> Job | None:
        """The utterance as it is so far, if somebody goes on speaking and nobody is at work on it."""
        piece = self._endpointer.running if self.wants_partials and self._glancing is None else None
        if piece is None or piece.end <= self._glanced_to or piece.end - piece.begin < FIRST_PARTIAL:
            return None
        if not piece.worth_hearing:
            return None
        self.glanced_at, self._glanced_to = now, piece.end
        self._glancing = self._job(Kind.PARTIAL, piece)
        return self._glancing

    def _job(self, kind: Kind, piece: Piece) -> Job:
        deadline = self._opened_at + (piece.end - self._start) / SAMPLE_RATE
        if not piece.worth_hearing:  # a click, a cough, or the end of a pause
            return Job(kind, self, piece, np.zeros(0, np.float32), deadline, done=True)
        # Partials are heard alone: there are many of them, and they are soon replaced.
        before = () if kind is Kind.PARTIAL else self._before(piece)
        begin = before[0].piece.begin if before else piece.begin
        return Job(kind, self, piece, self._tape.read(begin, piece.end), deadline, before)

    def _before(self, piece: Piece) -> tuple[Job, ...]:
        return tuple(job for job in self._finals if piece.begin - job.piece.begin <= CONTEXT)

    # ---- what goes out

    def take(self, job: Job) -> None:
        """A job of this listener has been decoded."""
        job.done = True
        if job is self._glancing:
            self._glancing, self.glance_cost = None, job.seconds
        running = self._endpointer.running
        current = running is not None and running.begin == job.piece.begin
        if job.kind is not Kind.FINAL and current:
            end_ms, in_pause = milliseconds(job.piece.end), job.kind is Kind.SETTLED
            self._partials.hear(job.words, milliseconds(job.piece.begin), end_ms, in_pause=in_pause)

    def speak(self, now: float, *, again_soon: bool = False) -> None:
        """Put into the report whatever can be said by now. `again_soon`: the next step is less than a chunk
        away."""
        while self._to_say and self._to_say[0].done:
            due = self._to_say.popleft()
            if isinstance(due, Flush):
                self._say().flushed = True
            else:
                self._say_final(due, now)
        if self.options.interim_results and not self.options.recorded:
            partial = self._partials.say(
                now,
                milliseconds(self._endpointer.position),
                speaking=self._endpointer.speaking,
                final_due=bool(self._to_say),
                again_soon=again_soon,
            )
            if partial is not None:
                self._say().hypotheses.append(partial)

    @property
    def has_something_to_say(self) -> bool:
        return self._report is not None

    def output(self) -> Output:
        """The report of this step. Audio whose final is due counts as neither processed nor confirmed."""
        report, self._report = self._say(), None
        due = next((job.piece.begin for job in self._to_say if isinstance(job, Job)), self._tape.end)
        self._processed = max(self._processed, due)
        self._confirmed = max(self._confirmed, min(due, self._endpointer.needed_from))
        return report.output(self.slot, self._processed, self._confirmed, self._endpointer.heard_until)

    def _say(self) -> Report:
        self._report = self._report or Report()
        return self._report

    def _say_final(self, job: Job, now: float) -> None:
        self._spoke = self._spoke or job.piece.worth_hearing
        # Without words it still says that the speaker paused.
        if job.words or (job.piece.speech_final and self._spoke):
            self._say().hypotheses.append(_final(job))
            self._partials.final_said(milliseconds(job.piece.end), now)
        else:
            self._say()
        self._spoke = self._spoke and not job.piece.speech_final


def _final(job: Job) -> Hypothesis:
    return Hypothesis(
        words=job.words,
        start_ms=milliseconds(job.piece.begin),
        end_ms=milliseconds(job.piece.end),
        is_final=True,
        speech_final=job.piece.speech_final,
    )
