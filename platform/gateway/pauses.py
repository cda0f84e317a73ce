"""When an utterance has ended for a client that asked for `utterance_end_ms`. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wire.messages import Word


@dataclass
class PauseWatch:
    """Watches one channel. Only words of finals count: a client that hears of the end has all of them."""

    pause_ms: int
    _last_word_end: int = 0
    _said: int = 0

    def hear(self, words: Sequence[Word]) -> None:
        if words:
            self._last_word_end = max(self._last_word_end, words[-1].end_ms)

    def silence(self, processed_ms: int, speech_end_ms: int) -> int | None:
        """The end of the last word, once, when the pause after it has been long enough."""
        quiet_from = max(self._last_word_end, speech_end_ms)
        if self._last_word_end <= self._said or processed_ms - quiet_from < self.pause_ms:
            return None
        self._said = self._last_word_end
        return self._last_word_end
