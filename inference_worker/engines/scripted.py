"""An engine that says a given text at given audio times. For tests and benchmarks: no model, next to no cost.

What it says of a stream depends on audio time alone, so two runs, or a run that changed workers, agree. It
can be told to be slow, to fail and to run out of memory.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from inference_worker.engines.base import (
    EngineError,
    EngineInfo,
    EngineOutOfMemory,
    EngineStartError,
    Hypothesis,
    Output,
    Row,
    StepResult,
)
from wire.messages import SAMPLE_RATE, StreamOptions, Word

CHUNK_SAMPLES = SAMPLE_RATE * 140 // 1000
SAMPLES_PER_MS = SAMPLE_RATE // 1000
PACE_MS, SPOKEN_MS, PAUSE_MS = 320, 260, 800
PARTIAL_EVERY_SAMPLES = 2 * CHUNK_SAMPLES

SENTENCES = (
    "The quick brown fox jumps over the lazy dog.",
    "Every second is billed once.",
    "No word is lost, whatever crashed on the way.",
    "A stream outlives its worker, and a client may come back for what it missed.",
)


@dataclass(frozen=True)
class ScriptedWord:
    text: str
    start_ms: int
    end_ms: int
    ends_utterance: bool = False


def spoken(sentences: Sequence[str]) -> tuple[ScriptedWord, ...]:
    """The sentences as somebody would say them: a word every PACE_MS, a pause after each sentence."""
    words, at = [], PACE_MS
    for sentence in sentences:
        texts = sentence.split()
        for number, text in enumerate(texts, 1):
            words.append(ScriptedWord(text, at, at + SPOKEN_MS, number == len(texts)))
            at += PACE_MS
        at += PAUSE_MS
    return tuple(words)


def read_script(path: Path) -> tuple[ScriptedWord, ...]:
    """One sentence a line."""
    try:
        words = spoken([line for line in path.read_text("utf-8").splitlines() if line.strip()])
    except (OSError, UnicodeDecodeError) as error:
        raise EngineStartError(f"the script {path} cannot be read: {type(error).__name__}") from None
    if not words:
        raise EngineStartError(f"the script {path} has no words: write one sentence a line")
    return words


@dataclass
class Trouble:
    """What shall go wrong; may be changed while the engine runs."""

    ms_per_step: float = 0.0
    ms_per_row: float = 0.0
    fail_at_steps: set[int] = field(default_factory=set)  # counted from 1
    fail_always: bool = False
    fail_slots: set[int] = field(default_factory=set)  # only these streams fail, the others go on
    spoiling_slots: set[int] = field(default_factory=set)  # a step with one of these fails for all
    memory_rows: int | None = None  # more rows in a step run out of memory


@dataclass
class _Slot:
    options: StreamOptions
    position: int
    heard: int  # script words before this number are final or were before the start
    told: int  # script words before this number were in the last partial
    told_at: int = 0  # the position of the last partial
    started: bool = False


class ScriptedEngine:
    def __init__(
        self,
        script: Sequence[ScriptedWord] = spoken(SENTENCES),
        *,
        words_per_final: int = 8,
        max_streams: int = 4096,
        max_batch: int = 4096,
        languages: tuple[str, ...] = ("en",),
        atomic: bool = True,
        trouble: Trouble | None = None,
    ) -> None:
        """`script` repeats for ever, with its first word following PAUSE_MS after its last."""
        self.info = EngineInfo(
            name="scripted",
            model="scripted",
            version="1",
            arch="script",
            languages=languages,
            chunk_samples=CHUNK_SAMPLES,
            max_streams=max_streams,
            max_batch=max_batch,
            bulk_chunks=8,
            atomic=atomic,
        )
        self.trouble = trouble or Trouble()
        self.steps = 0
        self._script = tuple(script)
        self._ends = [word.end_ms for word in self._script]
        self._period = self._ends[-1] + PAUSE_MS
        self._words_per_final = words_per_final
        self._slots: dict[int, _Slot] = {}

    @property
    def backlog(self) -> bool:
        return False

    def warm_up(self) -> None:
        if self.trouble.fail_always:
            raise EngineError("told to fail")

    def open(self, slot: int, options: StreamOptions, start: int) -> None:
        number = self._ended_by(start)
        self._slots[slot] = _Slot(options, start, number, number)

    def close(self, slot: int) -> None:
        self._slots.pop(slot, None)

    def shut_down(self) -> None:
        self._slots.clear()

    def step(self, rows: Sequence[Row]) -> StepResult:
        trouble = self.trouble
        if trouble.memory_rows is not None and len(rows) > trouble.memory_rows:
            raise EngineOutOfMemory(f"{len(rows)} rows do not fit")
        self.steps += 1
        if seconds := (trouble.ms_per_step + trouble.ms_per_row * len(rows)) / 1000:
            time.sleep(seconds)
        if trouble.fail_always or self.steps in trouble.fail_at_steps:
            raise EngineError("told to fail")
        if not trouble.spoiling_slots.isdisjoint(row.slot for row in rows):
            raise EngineError("told to fail for one of them")
        failed = {row.slot: "engine_failed" for row in rows if row.slot in trouble.fail_slots}
        return StepResult([self._hear(row) for row in rows if row.slot not in failed], failed)

    def _hear(self, row: Row) -> Output:
        state = self._slots[row.slot]
        state.position += len(row.samples)
        spoken_now = self._ended_by(state.position)
        hypotheses: list[Hypothesis] = []
        speech_started = None
        if spoken_now > state.heard and not state.started:
            state.started = True
            speech_started = self._word(state.heard).start_ms
        for number in range(state.heard, spoken_now):
            if self._closes_a_final(number):
                hypotheses.append(self._final(state.heard, number + 1))
                state.heard = number + 1
                state.started = not hypotheses[-1].speech_final
        if (row.flush or row.last) and state.heard < spoken_now:
            hypotheses.append(self._final(state.heard, spoken_now))
            state.heard = spoken_now
        if state.options.interim_results and state.heard < spoken_now:
            due = state.position - state.told_at >= PARTIAL_EVERY_SAMPLES
            if state.told < spoken_now or due:
                hypotheses.append(self._hypothesis(state.heard, spoken_now, is_final=False))
                state.told_at = state.position
        state.told = spoken_now
        confirmed = state.position
        # The next word that is not final: if it has begun, somebody speaks.
        next_begins = self._word(state.heard).start_ms * SAMPLES_PER_MS
        speech_end = state.position
        if next_begins >= state.position:
            speech_end = self._word(state.heard - 1).end_ms * SAMPLES_PER_MS if state.heard else 0
        if not (row.flush or row.last):
            confirmed = min(confirmed, next_begins)
        return Output(
            slot=row.slot,
            processed=state.position,
            confirmed=confirmed,
            hypotheses=tuple(hypotheses),
            speech_started_ms=speech_started,
            flushed=row.flush or row.last,
            speech_end=speech_end,
        )

    def _ended_by(self, position: int) -> int:
        """How many words, counted over all repetitions, have ended at `position`."""
        rounds, rest = divmod(position // SAMPLES_PER_MS, self._period)
        return rounds * len(self._script) + bisect_right(self._ends, rest)

    def _word(self, number: int) -> ScriptedWord:
        rounds, index = divmod(number, len(self._script))
        word, shift = self._script[index], rounds * self._period
        return ScriptedWord(word.text, word.start_ms + shift, word.end_ms + shift, word.ends_utterance)

    def _closes_a_final(self, number: int) -> bool:
        index = number % len(self._script)
        return self._script[index].ends_utterance or (number + 1) % self._words_per_final == 0

    def _final(self, first: int, after: int) -> Hypothesis:
        return self._hypothesis(first, after, is_final=True)

    def _hypothesis(self, first: int, after: int, *, is_final: bool) -> Hypothesis:
        scripted = [self._word(number) for number in range(first, after)]
        return Hypothesis(
            words=tuple(Word(word.text, word.start_ms, word.end_ms, 0.9) for word in scripted),
            start_ms=scripted[0].start_ms,
            end_ms=scripted[-1].end_ms,
            is_final=is_final,
            speech_final=is_final and scripted[-1].ends_utterance,
            stability=0.0 if is_final else 0.9,
        )
