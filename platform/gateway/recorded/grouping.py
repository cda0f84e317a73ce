"""Words into utterances, sentences and paragraphs. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from wire.messages import Word

Words = Sequence[Word]

SENTENCE_ENDS = (".", "?", "!", "…", "\u3002", "\uff1f", "\uff01")
_CLOSERS = "\"'\u201d\u2019)]»"
# What ends like a sentence and is none.
_ABBREVIATIONS = frozenset({"mr.", "mrs.", "ms.", "dr.", "prof.", "st.", "vs.", "e.g.", "i.e.", "jr.", "sr."})
PARAGRAPH_PAUSE_MS = 2000
PARAGRAPH_SENTENCES = 5


def utterances(words: Words, pause_ms: int) -> list[Words]:
    """Split where nobody speaks for `pause_ms` or longer."""
    return _split(words, lambda before, after: after.start_ms - before.end_ms >= pause_ms)


def sentences(words: Words) -> list[Words]:
    return _split(words, lambda before, _: ends_sentence(before.text))


def paragraphs(words: Words) -> list[list[Words]]:
    """Sentences that belong together: until a long pause, or until there are many."""
    found: list[list[Words]] = []
    for sentence in sentences(words):
        if (
            not found
            or len(found[-1]) >= PARAGRAPH_SENTENCES
            or sentence[0].start_ms - found[-1][-1][-1].end_ms >= PARAGRAPH_PAUSE_MS
        ):
            found.append([])
        found[-1].append(sentence)
    return found


def ends_sentence(text: str) -> bool:
    return text.rstrip(_CLOSERS).endswith(SENTENCE_ENDS) and text.lower() not in _ABBREVIATIONS


def _split(words: Words, between: Callable[[Word, Word], bool]) -> list[Words]:
    return list(_groups(words, between))


def _groups(words: Words, between: Callable[[Word, Word], bool]) -> Iterator[Words]:
    if not words:
        return
    begin = 0
    for index, (before, after) in enumerate(pairwise(words), start=1):
        if between(before, after):
            yield words[begin:index]
            begin = index
    yield words[begin:]
