"""Words and their punctuation; and several words as one."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from wire.messages import Word

# Marks that are said, or that belong to what they stand with: 5%, #1, a@b.
_SPOKEN = "%#@&"
MARKER = re.compile(r"\[[A-Za-z]+\]")


def split(text: str) -> tuple[str, str, str]:
    """`“Don't,` as `“`, `Don't` and `,`. What is nothing but punctuation is a word all the same."""
    if marker := MARKER.search(text):
        return text[: marker.start()], marker.group(), text[marker.end() :]
    start, end = 0, len(text)
    while start < end and _mark(text[start]):
        start += 1
    while end > start and _mark(text[end - 1]):
        end -= 1
    return (text[:start], text[start:end], text[end:]) if start < end else ("", text, "")


def bare_word(text: str) -> str:
    """`Don't,` as `don't`."""
    return split(text)[1].lower()


def _mark(character: str) -> bool:
    return unicodedata.category(character).startswith("P") and character not in _SPOKEN


def merge(words: Sequence[Word], text: str) -> Word:
    """One word in the place of these, from the start of the first to the end of the last."""
    confidence = sum(word.confidence for word in words) / len(words)
    return Word(text, words[0].start_ms, words[-1].end_ms, confidence)
