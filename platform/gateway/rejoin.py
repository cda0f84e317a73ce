"""Where what a new worker hears joins what the old one has said. A plain decision, no I/O.

After a move the new worker hears some audio for the second time. Its times and words are those of the old one
but for a little, since it has not heard what came before. What ended before the boundary, the end of the last
final said, has been said; a word across the boundary goes to the side where its middle is, unless its
neighbours' texts show that it is the one said last, or the one after it. After a final with something new
all is new.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

import msgspec

from wire.messages import Word

REMEMBERED_WORDS = 12
# As far as the same word may be from one hearing to the other.
NEAR_MS = 500
# So many words may be on the other side than their times say.
MOST_MOVED = 3


class Rejoin:
    def __init__(self, boundary_ms: int, said: Iterable[str]) -> None:
        """`said` are the last words of the finals said, as text."""
        self.boundary_ms = boundary_ms
        self._said = [_bare(text) for text in said]
        self._heard: deque[str] = deque(maxlen=REMEMBERED_WORDS)  # again, in finals
        self._joined = False

    def new_in(self, words: Sequence[Word]) -> tuple[Word, ...]:
        """Those that have not been said; none begins before the boundary, so that times go on in order."""
        return tuple(self._after(word) for word in words[self._cut(words) :])

    def remember(self, words: Sequence[Word]) -> None:
        """These were in a final, so the next one begins after them."""
        self._joined = self._joined or self._cut(words) < len(words)
        self._heard.extend(_bare(word.text) for word in words)

    def reached_by(self, end_ms: int) -> bool:
        """Whether a final that ends there may be the one that the old worker was at."""
        return end_ms > self.boundary_ms - NEAR_MS // 2

    def passed_by(self, start_ms: int) -> bool:
        """Whether nothing of a final that begins there, or of a later one, can have been said."""
        return start_ms > self.boundary_ms + NEAR_MS

    def _after(self, word: Word) -> Word:
        if word.start_ms >= self.boundary_ms:
            return word
        return msgspec.structs.replace(
            word, start_ms=self.boundary_ms, end_ms=max(self.boundary_ms, word.end_ms)
        )

    def _cut(self, words: Sequence[Word]) -> int:
        if self._joined:
            return 0
        by_time = sum(_middle(word) < self.boundary_ms for word in words)
        best, best_score, others = by_time, *self._score(words, by_time)
        if not others:
            return by_time  # its neighbours say nothing else
        if by_time == len(words):  # what was said last may be in the final after this one
            best_score = max(self._score(words, by_time, later)[0] for later in range(MOST_MOVED + 1))
        for distance in range(1, MOST_MOVED + 1):
            for cut in (by_time - distance, by_time + distance):
                moved = words[min(cut, by_time) : max(cut, by_time)]
                if not 0 <= cut <= len(words) or any(
                    abs(_middle(word) - self.boundary_ms) > NEAR_MS for word in moved
                ):
                    continue
                if (score := self._score(words, cut)[0]) > best_score:
                    best, best_score = cut, score
        return best

    def _score(self, words: Sequence[Word], cut: int, later: int = 0) -> tuple[int, int]:
        """Of the words before the cut, side by side with the last ones said, but for those that come later:
        how many are the same, and how many are others. One that was misheard shifts none of them."""
        heard = [*self._heard, *(_bare(word.text) for word in words[:cut])]
        said = self._said[: max(0, len(self._said) - later)]
        pairs = list(zip(reversed(heard), reversed(said), strict=False))
        same = sum(mine == theirs for mine, theirs in pairs)
        return same, len(pairs) - same


def _middle(word: Word) -> float:
    return (word.start_ms + word.end_ms) / 2


def _bare(text: str) -> str:
    return "".join(letter for letter in text.lower() if letter.isalnum()) or text
