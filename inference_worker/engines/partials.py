"""When a partial is said of one stream, and what it says. Pure, with the engine's clock given to it.

A hearing is said as soon as it is there, unless a final before it is still due: the client would take it for
the final's text. Where the next hearing is late or cannot be afforded, the last partial is said again with a
new end, so that a client hears every 300 ms of somebody who speaks. `end` always says how far somebody was
heard to speak, never less than before, and the words are what has been made of that so far. Nothing is said
of silence but, once, how the words before it are understood in the end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from inference_worker.engines.base import Hypothesis
from wire.messages import Word

Words = tuple[Word, ...]

# Repeated this long after the last partial, so that 300 ms are kept: steps are 10 ms apart while a decoder is
# at work, and otherwise a chunk of 96 ms and whatever the network adds.
REPEAT_SOON_S, REPEAT_NOW_S = 0.285, 0.195


def texts(words: Words) -> list[str]:
    return [word.text for word in words]


@dataclass
class Partials:
    told_at: float
    repeat_now_s: float = REPEAT_NOW_S  # of an engine whose steps are further apart: less
    _heard: Words = ()  # of the running utterance, for what has become stable
    _fresh: Hypothesis | None = None  # heard and not yet said
    _in_pause: bool = False  # the fresh one is of an utterance whose speaker has paused
    _shown: Hypothesis | None = None  # what the client shows

    def hear(self, words: Words, start_ms: int, end_ms: int, *, in_pause: bool) -> None:
        if not words:
            return
        now, before = texts(words), texts(self._heard)
        agreed = 0
        while agreed < min(len(now), len(before)) and now[agreed] == before[agreed]:
            agreed += 1
        self._heard, self._in_pause = words, in_pause
        stability = round(agreed / len(now), 3)
        self._fresh = Hypothesis(words, start_ms, end_ms, is_final=False, stability=stability)

    def next_piece(self) -> None:
        """What follows is another utterance, or another part of it. The client goes on to show the last
        partial until it has the final."""
        self._heard, self._fresh = (), None

    def final_said(self, end_ms: int, now: float) -> None:
        self.told_at = now
        if self._shown is not None and self._shown.start_ms < end_ms:
            self._shown = None

    def say(
        self, now: float, heard_ms: int, *, speaking: bool, final_due: bool, again_soon: bool
    ) -> Hypothesis | None:
        """The partial to be said now, if any. `again_soon`: a decoder is at work, so the question comes again
        in a moment, and perhaps with a new hearing."""
        fresh, shown = self._fresh, self._shown
        if fresh is not None and not final_due:
            self._fresh = None
            same = shown is not None and texts(shown.words) == texts(fresh.words)
            if speaking or (self._in_pause and not same):
                return self._tell(fresh, fresh.end_ms, now)
        if not speaking or shown is None or heard_ms <= shown.end_ms:
            return None
        if now - self.told_at < (REPEAT_SOON_S if again_soon else self.repeat_now_s):
            return None
        return self._tell(shown, heard_ms, now)

    def _tell(self, hypothesis: Hypothesis, end_ms: int, now: float) -> Hypothesis:
        before = self._shown.end_ms if self._shown else 0
        self._shown, self.told_at = replace(hypothesis, end_ms=max(end_ms, before)), now
        return self._shown
