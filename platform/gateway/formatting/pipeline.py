"""What is done to the words of every result before anybody hears them, partials and finals alike."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.formatting.redact import redact
from gateway.formatting.smart import smart_format
from gateway.formatting.words import bare_word
from wire.messages import Word


@dataclass(frozen=True)
class Formatting:
    punctuate: bool = True
    smart_format: bool = False
    numerals: bool = False
    redact: tuple[str, ...] = ()
    english: bool = True

    def apply(self, words: tuple[Word, ...]) -> tuple[Word, ...]:
        # First, so that nothing that is to be hidden is looked at by what comes after.
        if self.redact:
            words = redact(words, self.redact)
        if self.english and (self.smart_format or self.numerals):
            words = smart_format(words, smart=self.smart_format, small=self.numerals)
        # Smart formatting is of sentences, which have punctuation.
        if not self.punctuate and not self.smart_format:
            words = tuple(Word(bare_word(w.text), w.start_ms, w.end_ms, w.confidence) for w in words)
        return words
