"""Where utterances begin and end, from how likely each window holds speech. Pure; positions in samples.

An utterance begins a little before its first window of speech and ends when a pause is long enough. A long
one is cut in pieces: at a shorter pause once speech goes on after it, or, with no pause at all, where it is
quietest. Pieces never overlap, so no word is heard twice and word times never go back.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from wire.messages import SAMPLE_RATE

SPEECH, STILL_SPEECH = 0.5, 0.35  # hysteresis
PRE_ROLL = SAMPLE_RATE * 300 // 1000
POST_ROLL = SAMPLE_RATE * 200 // 1000
STARTS_AFTER_WINDOWS = 2
LEAST_SPEECH_WINDOWS = 3
DEFAULT_PAUSE_MS, LEAST_PAUSE_MS, MOST_PAUSE_MS = 500, 200, 5000
# Finishes a piece, however short, where the customer wants no end of utterance yet, or none at all: the words
# are final by then, and a client that asked for `utterance_end_ms` hears of the end in time.
LONG_PAUSE = SAMPLE_RATE
# From this length on a pause of this many samples separates pieces.
CUTS = ((6 * SAMPLE_RATE, SAMPLE_RATE * 300 // 1000), (10 * SAMPLE_RATE, SAMPLE_RATE * 150 // 1000))
LONGEST = 14 * SAMPLE_RATE
QUIET_SEARCH_FROM, QUIET_SEARCH_TO = 6 * SAMPLE_RATE, SAMPLE_RATE // 2  # from the beginning; before the end


class Window(msgspec.Struct, frozen=True, gc=False):  # one for 32 ms of each stream, so made fast
    begin: int
    end: int
    speech: bool
    level: float  # loudness, on any scale


@dataclass(frozen=True)
class Piece:
    """A stretch of audio that holds an utterance or a part of one."""

    begin: int
    end: int
    speech_final: bool
    windows: tuple[Window, ...]

    @property
    def worth_hearing(self) -> bool:
        return is_speech(self.windows)


def is_speech(windows: Iterable[Window]) -> bool:
    """A click or a cough is not."""
    speech = (window for window in windows if window.speech)
    return next(itertools.islice(speech, LEAST_SPEECH_WINDOWS - 1, None), None) is not None


@dataclass
class Endpointer:
    pause: int | None  # silence that ends an utterance; None: never
    position: int
    floor: int = -1  # what is before belongs to an earlier piece or was let go
    begin: int | None = None  # of the running utterance
    speech_end: int = 0
    _windows: list[Window] = field(default_factory=list)  # since `begin`, or the last few
    _speech: bool = False
    _run: int = 0
    _open: bool = False  # the running utterance is speech, not a click
    _heard_until: int = 0  # where the speech of the utterances before it ended
    _goes_on: bool = False  # a pause has finished a piece, and may become long enough to end the utterance

    def __post_init__(self) -> None:
        self.floor = max(self.floor, self.position)

    def feed(self, end: int, probability: float, level: float) -> tuple[list[Piece], int | None]:
        """The next window. Returns the pieces that are complete, and where speech started if it did."""
        self._speech = probability >= SPEECH or (self._speech and probability >= STILL_SPEECH)
        window = Window(self.position, end, self._speech, level)
        self.position = end
        self._windows.append(window)
        if self.begin is None:
            started = self._wait_for_speech(window)
            return self._end_the_pause(), started
        if window.speech:
            return self._go_on(window, self.begin), None
        return self._be_silent(), None

    def flush(self, end: int, *, last: bool = False) -> list[Piece]:
        """Finish what is heard so far. `end` is the position after the last sample, in a window or not."""
        pieces = []
        if self._goes_on and last:
            pieces = [Piece(self.floor, self.floor, True, ())]
        if self.begin is not None:
            pieces = [self._piece(end if end - self.speech_end < POST_ROLL else self._settled_end, last)]
        elif last and self._run:
            # Speech that was about to start: too short to be told from noise, but nothing else will come.
            pieces.append(Piece(max(self.floor, self.position - PRE_ROLL), end, True, tuple(self._windows)))
        if not self._speech:
            self._close()
        self.floor = end
        self.begin = end if self.begin is not None and self._speech else None
        self.speech_end = end
        self._windows, self._run, self._goes_on = [], 0, False
        return pieces

    @property
    def speaking(self) -> bool:
        """Somebody speaks, or takes a breath."""
        return self.begin is not None and self.position - self.speech_end < POST_ROLL

    @property
    def heard_until(self) -> int | None:
        """Where the last speech ended; None while an utterance is open, be it in a pause."""
        return None if self._open else self._heard_until

    @property
    def settled(self) -> Piece | None:
        """What the utterance will be if the silence goes on: known before the pause is over."""
        if self.begin is None or self.speaking:
            return None
        return self._piece(self._settled_end, speech_final=True)

    @property
    def running(self) -> Piece | None:
        return None if self.begin is None else self._piece(self.position, speech_final=False)

    @property
    def needed_from(self) -> int:
        """Audio before this is never asked for again."""
        if self.begin is not None:
            return self.begin
        return max(self.floor, self.position - PRE_ROLL - SAMPLE_RATE // 10)

    def _wait_for_speech(self, window: Window) -> int | None:
        self._run = self._run + 1 if window.speech else 0
        if self._run < STARTS_AFTER_WINDOWS:
            if self._windows[0].end <= self.needed_from:
                del self._windows[0]
            return None
        first = self._windows[-self._run]
        self.begin = max(self.floor, first.begin - PRE_ROLL)
        self.speech_end, self._run, self._goes_on = window.end, 0, False
        return max(first.begin, self.floor)

    def _end_the_pause(self) -> list[Piece]:
        if not self._goes_on or self.pause is None or self.position - self.speech_end < self.pause:
            return []
        self._goes_on = False
        return [Piece(self.floor, self.floor, True, ())]

    def _go_on(self, window: Window, begin: int) -> list[Piece]:
        paused = window.begin - self.speech_end
        pieces = []
        if self._separates(paused, self.speech_end - begin):
            rest = min(POST_ROLL, max(paused - SAMPLE_RATE // 10, paused // 2))
            pieces.append(
                self._cut(self.speech_end + rest, max(self.speech_end + rest, window.begin - PRE_ROLL))
            )
        self.speech_end = window.end
        self._open = self._open or is_speech(self._windows)
        if self.begin is not None and self.position - self.begin >= LONGEST:
            quiet = self._quietest_place(self.begin)
            pieces.append(self._cut(quiet, quiet))
        return pieces

    def _be_silent(self) -> list[Piece]:
        silent = self.position - self.speech_end
        ended = self.pause is not None and silent >= self.pause
        if not ended and silent < LONG_PAUSE:
            return []
        piece = self._piece(self._settled_end, speech_final=ended)
        self.floor, self.begin = piece.end, None
        self._goes_on = self.pause is not None and not ended
        self._close()
        self._windows = [window for window in self._windows if window.end > self.needed_from]
        return [piece]

    @property
    def _settled_end(self) -> int:
        return min(self.speech_end + POST_ROLL, self.position)

    def _separates(self, paused: int, length: int) -> bool:
        return any(length >= least and paused >= pause for least, pause in CUTS)

    def _quietest_place(self, begin: int) -> int:
        candidates = [
            (before.level + here.level + after.level, here)
            for before, here, after in zip(self._windows, self._windows[1:], self._windows[2:], strict=False)
            if begin + QUIET_SEARCH_FROM <= here.begin and here.end <= self.position - QUIET_SEARCH_TO
        ]
        here = min(candidates, key=lambda candidate: candidate[0])[1]
        return (here.begin + here.end) // 2

    def _close(self) -> None:
        if self._open:
            self._open, self._heard_until = False, self.speech_end

    def _cut(self, end: int, begin: int) -> Piece:
        piece = self._piece(end, speech_final=False)
        self.floor = self.begin = begin
        self._windows = [window for window in self._windows if window.end > begin]
        return piece

    def _piece(self, end: int, speech_final: bool) -> Piece:
        begin = self.floor if self.begin is None else self.begin
        inside = tuple(w for w in self._windows if w.begin < end and w.end > begin)
        return Piece(begin, end, speech_final, inside)


def pause_samples(endpointing_ms: int | None) -> int | None:
    """The customer's wish, within what makes sense: below, words are cut in two; above, nobody waits."""
    if endpointing_ms == 0:
        return None
    wish = DEFAULT_PAUSE_MS if endpointing_ms is None else endpointing_ms
    return min(max(wish, LEAST_PAUSE_MS), MOST_PAUSE_MS) * SAMPLE_RATE // 1000
