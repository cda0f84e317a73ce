"""English numbers in words: `two hundred and five` is 205, `twenty-first` the ordinal of 21."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_UNITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEENS = (
    "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
    "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
UNITS = {word: value for value, word in enumerate(_UNITS)}
TEENS = {word: value for value, word in enumerate(_TEENS, 10)}
TENS = {word: value for value, word in zip(range(20, 100, 10), _TENS, strict=True)}
SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_IRREGULAR = {"one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth",
              "nine": "ninth", "twelve": "twelfth"}  # fmt: skip


def _ordinal(word: str) -> str:
    return _IRREGULAR.get(word) or (word[:-1] + "ieth" if word.endswith("y") else word + "th")


# Each ordinal and the number word it is made of.
ORDINALS = {_ordinal(word): word for word in (*_UNITS[1:], *_TEENS, *_TENS, "hundred", *SCALES)}
OH = ("oh", "o")  # zero, when digits are read out
REPEATED = {"double": 2, "triple": 3}
VOCABULARY = frozenset((*UNITS, *TEENS, *TENS, "hundred", *SCALES, *ORDINALS))


@dataclass(frozen=True)
class Number:
    value: int
    length: int  # words
    ordinal: bool = False


def read_number(words: Sequence[str]) -> Number | None:
    """The longest number that these words begin with."""
    total, at, limit = 0, 0, 10**15
    while True:
        start = at + 1 if at and _is(words, at, "and") else at
        group = _below_thousand(words[start:])
        if group is None:
            break
        end = start + group.length
        scale = None if group.ordinal or end >= len(words) else _scale(words[end])
        if scale is None:
            return Number(total + group.value, end, group.ordinal)
        size, ordinal = scale
        if size >= limit:
            # "two thousand five thousand": the second is a number of its own.
            break
        total, at, limit = total + group.value * size, end + 1, size
        if ordinal:
            return Number(total, at, True)
    return Number(total, at) if at else None


def _below_thousand(words: Sequence[str]) -> Number | None:
    """Up to 99, and with `hundred` up to 9900, as in `nineteen hundred`."""
    first = _below_hundred(words)
    if first is None or first.ordinal or first.value == 0 or first.length >= len(words):
        return first
    after = words[first.length]
    if ORDINALS.get(after) == "hundred":
        return Number(first.value * 100, first.length + 1, True)
    if after != "hundred":
        return first
    at = first.length + 1
    rest = at + 1 if _is(words, at, "and") else at
    second = _below_hundred(words[rest:])
    if second is None or second.value == 0:
        return Number(first.value * 100, at)
    return Number(first.value * 100 + second.value, rest + second.length, second.ordinal)


def _below_hundred(words: Sequence[str]) -> Number | None:
    if not words:
        return None
    ordinal = words[0] in ORDINALS
    word = ORDINALS.get(words[0], words[0])
    if word in UNITS or word in TEENS:
        return Number(UNITS[word] if word in UNITS else TEENS[word], 1, ordinal)
    if word not in TENS:
        return None
    if ordinal or len(words) < 2:
        return Number(TENS[word], 1, ordinal)
    unit = UNITS.get(ORDINALS.get(words[1], words[1]), 0)
    return Number(TENS[word] + unit, 2, words[1] in ORDINALS) if unit else Number(TENS[word], 1)


def _scale(word: str) -> tuple[int, bool] | None:
    size = SCALES.get(ORDINALS.get(word, word))
    return None if size is None else (size, word in ORDINALS)


def _is(words: Sequence[str], at: int, word: str) -> bool:
    return at < len(words) and words[at] == word


def suffix(value: int) -> str:
    """`st` for 21, `th` for 11."""
    if 10 <= value % 100 <= 20:
        return "th"
    return {1: "st", 2: "nd", 3: "rd"}.get(value % 10, "th")


def grouped(value: int) -> str:
    """Years and house numbers without commas, what is larger with them."""
    return str(value) if value < 10_000 else f"{value:,}"
