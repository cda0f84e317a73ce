"""What the moonshine engine knows of the stream in one slot."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from inference_worker.engines.base import Hypothesis, Output, Samples
from inference_worker.engines.endpointing import Endpointer, Piece, pause_samples
from inference_worker.engines.silero import WINDOW
from inference_worker.engines.tape import Tape
from wire.messages import SAMPLE_RATE, StreamOptions, Word

Words = tuple[Word, ...]


def milliseconds(position: int) -> int:
    return position * 1000 // SAMPLE_RATE


@dataclass
class Report:
    """What the step under way will say about the slot."""

    hypotheses: list[Hypothesis] = field(default_factory=list)
    speech_started_ms: int | None = None
    flushed: bool = False


class Listener:
    def __init__(self, slot: int, options: StreamOptions, start: int, now: float) -> None:
        self.slot, self.options = slot, options
        self.report: Report | None = None
        self.pending: deque[Piece] = deque()  # pieces whose final has not been said
        self.partial: Words = ()
        self.partial_at, self.partial_cost, self.partial_end = now, 0.0, start
        self.heard_settled: tuple[Piece, Words] | None = None
        self._endpointer = Endpointer(pause_samples(options.endpointing_ms), start)
        self._tape = Tape(start)
        self._rest = np.zeros(0, np.float32)  # of a window that is not complete
        self._processed = self._confirmed = start

    # ---- what comes in

    def hear(self, samples: Samples) -> None:
        self._tape.add(samples)
        self._rest = np.concatenate([self._rest, samples])

    def next_window(self) -> Samples | None:
        if len(self._rest) < WINDOW:
            return None
        window, self._rest = self._rest[:WINDOW], self._rest[WINDOW:]
        return window

    def judge(self, window: Samples, probability: float) -> list[tuple[Piece, Samples]]:
        """Take note of how likely the window is speech; returns the pieces that this completes."""
        level = float(10 * np.log10(np.square(window).mean() + 1e-8))
        pieces, started = self._endpointer.feed(self._endpointer.position + WINDOW, probability, level)
        if started is not None:
            self.say().speech_started_ms = milliseconds(started)
        return self._completed(pieces)

    def flush(self, *, last: bool) -> list[tuple[Piece, Samples]]:
        return self._completed(self._endpointer.flush(self._tape.end, last=last))

    def _completed(self, pieces: list[Piece]) -> list[tuple[Piece, Samples]]:
        if pieces:
            self.partial, self.partial_end = (), pieces[-1].end
        self.pending.extend(pieces)
        audio = [(piece, self._tape.read(piece.begin, piece.end)) for piece in pieces]
        self._tape.forget_before(self._endpointer.needed_from)
        return audio

    # ---- what may be heard before it is final

    @property
    def settled(self) -> Piece | None:
        piece = self._endpointer.settled
        return None if piece is None or self.knows(piece) is not None else piece

    @property
    def running(self) -> Piece | None:
        return self._endpointer.running

    def audio(self, piece: Piece) -> Samples:
        return self._tape.read(piece.begin, piece.end)

    def knows(self, piece: Piece) -> Words | None:
        """The words of a piece that was heard when its speaker paused."""
        if self.heard_settled is None:
            return None
        heard, words = self.heard_settled
        return words if (heard.begin, heard.end) == (piece.begin, piece.end) else None

    # ---- what goes out

    def say(self) -> Report:
        self.report = self.report or Report()
        return self.report

    def say_final(self, piece: Piece, words: Words) -> None:
        self.pending.popleft()
        if words or piece.speech_final:
            self.say().hypotheses.append(_hypothesis(piece, words, is_final=True))

    def say_partial(self, piece: Piece, words: Words) -> None:
        texts, before = [word.text for word in words], [word.text for word in self.partial]
        if not words or texts == before:
            return
        agreed = 0
        while agreed < min(len(texts), len(before)) and texts[agreed] == before[agreed]:
            agreed += 1
        self.partial = words
        stability = round(agreed / len(texts), 3)
        self.say().hypotheses.append(_hypothesis(piece, words, is_final=False, stability=stability))

    def output(self) -> Output:
        """The report of this step. Audio whose final is due counts as neither processed nor confirmed."""
        report, self.report = self.say(), None
        due = self.pending[0].begin if self.pending else self._tape.end
        self._processed = max(self._processed, due)
        self._confirmed = max(self._confirmed, min(due, self._endpointer.needed_from))
        return Output(
            slot=self.slot,
            processed=self._processed,
            confirmed=self._confirmed,
            hypotheses=tuple(report.hypotheses),
            speech_started_ms=report.speech_started_ms,
            flushed=report.flushed,
        )


def _hypothesis(piece: Piece, words: Words, *, is_final: bool, stability: float = 0.0) -> Hypothesis:
    return Hypothesis(
        words=words,
        start_ms=milliseconds(piece.begin),
        end_ms=milliseconds(piece.end),
        is_final=is_final,
        speech_final=is_final and piece.speech_final,
        stability=stability,
    )
