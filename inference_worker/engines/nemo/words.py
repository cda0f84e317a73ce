"""Tokens to words with times, as they come: what is complete is never looked at again.

The rules are those of NeMo's own pipeline, so that the same model says the same thing: a word lasts from its
first token to its last; when the next one begins soon after, until then; and never no time at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

START = "▁"  # how a piece begins that begins a word
SOON_FRAMES = 4
NOT_THEIR_OWN = frozenset(",.?!")


@dataclass(frozen=True)
class Vocabulary:
    pieces: tuple[str, ...]
    to_text: Callable[[list[int]], str]
    marks: frozenset[str]  # pieces that are punctuation and nothing else

    def begins_word(self, token: int) -> bool:
        return self.pieces[token].startswith(START)


@dataclass
class Spoken:
    """Frames count from the first of the stream."""

    text: str
    start: int
    end: int
    confidence: float


@dataclass
class _Token:
    id: int
    frame: int
    confidence: float


@dataclass
class Writer:
    """The words since the last that were final."""

    vocabulary: Vocabulary
    words: list[Spoken] = field(default_factory=list)
    _word: list[_Token] = field(default_factory=list)
    _ended: int | None = None  # where the last complete word ends
    _heard: int | None = None  # the frame of the last token of a word that is final

    @property
    def has_words(self) -> bool:
        return bool(self.words or self._word)

    def hear(self, ids: Iterable[int], frames: Iterable[int], confidences: Iterable[float]) -> None:
        for token in map(_Token, ids, frames, confidences):
            begins = self.vocabulary.begins_word(token.id)
            if self._word and begins:
                self._complete(token.frame)
            if not (self._word or begins) and self._is_late(token):
                continue
            self._word.append(token)

    def so_far(self) -> list[Spoken]:
        """With the word that may go on."""
        if not self._word:
            return list(self.words)
        other = Writer(self.vocabulary, list(self.words), list(self._word), self._ended)
        other._complete(None)
        return other.words

    def _is_late(self, token: _Token) -> bool:
        """It goes on with a word that is final and said, and after a pause that no word has."""
        return self._heard is not None and token.frame - self._heard > SOON_FRAMES

    def finish(self, before: int | None = None) -> list[Spoken]:
        """The words that are final now, which are forgotten here: all, or those complete that begin before a
        frame."""
        if before is None:
            if self._word:
                self._heard = self._word[-1].frame
                self._complete(None)
            done, self.words = self.words, []
            return done
        done = [word for word in self.words if word.start < before]
        self.words = self.words[len(done) :]
        return done

    def _complete(self, following: int | None) -> None:
        tokens, self._word = self._word, []
        text = self.vocabulary.to_text([token.id for token in tokens]).strip()
        if not text:
            return
        if text in NOT_THEIR_OWN:
            if self.words:  # else its word is final and said
                last = self.words[-1]
                self.words[-1] = Spoken(last.text + text, last.start, last.end, last.confidence)
            return
        start, end = self._times(tokens, following)
        sure = sum(token.confidence for token in tokens) / len(tokens)
        self.words.append(Spoken(text, start, end, sure))
        self._ended = end

    def _times(self, tokens: list[_Token], following: int | None) -> tuple[int, int]:
        pieces, marks = self.vocabulary.pieces, self.vocabulary.marks
        start, end = tokens[0].frame, tokens[-1].frame
        if pieces[tokens[0].id] in marks or pieces[tokens[0].id] == START:
            spoken = (t.frame for t in tokens if pieces[t.id] not in marks and pieces[t.id] != START)
            start = next(spoken, start)
        if pieces[tokens[-1].id] in marks:
            end = next((t.frame for t in reversed(tokens) if pieces[t.id] not in marks), end)
        if following is not None and following - end <= SOON_FRAMES:
            end = following
        late = max(0, self._ended - start) if self._ended is not None else 0
        start, end = start + late, end + late
        return start, end + (start == end)
