"""Where what a new worker hears joins what the old one has said. A plain decision, no I/O.

After a move the new worker hears some audio for the second time. Its times and words are those of the old one
but for a little, since it has not heard what came before. What ended before the boundary, the end of the last
final said, has been said; a word across the boundary goes to the side where its middle is, unless its
neighbours' texts show that it is the one said last, or the one after it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from wire.messages import Word

REMEMBERED_WORDS = 12
# As far as the same word may be from one hearing to the other.
NEAR_MS = 500


class Rejoin:
    def __init__(self, boundary_ms: int, said: Iterable[str]) -> None:
        """`said` are the last words of the finals said, as text."""
        self.boundary_ms = boundary_ms
        self._said = [_bare(text) for text in said]
        self._heard: deque[str] = deque(maxlen=REMEMBERED_WORDS)  # again, in finals

    def new_in(self, words: Sequence[Word]) -> tuple[Word, ...]:
        """Those that have not been said."""
        return tuple(words[self._cut(words) :])

    def remember(self, words: Sequence[Word]) -> None:
        """These were in a final, so the next one begins after them."""
        self._heard.extend(_bare(word.text) for word in words)

    def _cut(self, words: Sequence[Word]) -> int:
        by_time = sum(_middle(word) < self.boundary_ms for word in words)
        best, best_score = by_time, self._score(words, by_time)
        for distance in range(1, 4):
            for cut in (by_time - distance, by_time + distance):
                moved = words[min(cut, by_time) : max(cut, by_time)]
                if not 0 <= cut <= len(words) or any(
                    abs(_middle(word) - self.boundary_ms) > NEAR_MS for word in moved
                ):
                    continue
                if (score := self._score(words, cut)) > best_score:
                    best, best_score = cut, score
        return best

    def _score(self, words: Sequence[Word], cut: int) -> int:
        """How many words before the cut are the last ones said, counted from the cut back."""
        heard = [*self._heard, *(_bare(word.text) for word in words[:cut])]
        score = 0
        for mine, theirs in zip(reversed(heard), reversed(self._said), strict=False):
            if mine != theirs:
                break
            score += 1
        return score


def _middle(word: Word) -> float:
    return (word.start_ms + word.end_ms) / 2


def _bare(text: str) -> str:
    return "".join(letter for letter in text.lower() if letter.isalnum()) or text
