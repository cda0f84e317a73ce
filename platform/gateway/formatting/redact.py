"""What is not to be read by anybody: numbers, however they are said or written.

Works on one result at a time, because a partial and the final after it leave at once. So that no pause in the
middle of a number lets a part of it out, `pci` and `ssn` also take every number that touches an end of the
result, however short: it may go on in the next one, or have begun in the one before.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from gateway.formatting.numbers import OH, ORDINALS, REPEATED, TEENS, TENS, UNITS, VOCABULARY
from gateway.formatting.words import merge, split
from wire.messages import Word

KINDS = ("numbers", "pci", "ssn")
# What the same is called elsewhere.
MEANING = {"true": "numbers", "aggressive_numbers": "numbers"}
LONG = 3  # digits from which a number may be a part of a card's, a code or a social security number
_PARTS = re.compile(r"[^\W_]+")
_MORE = frozenset(
    (*(word + "s" for word in VOCABULARY if word not in ("first", "second")),
     *(word[:-1] + "ies" for word in TENS),
     "nought", "noughts", "naught", "aught", "zeroes", "sixes")
)  # fmt: skip
# Said between the digits of one number, and nothing by themselves.
_JOINING = frozenset(
    (*OH, *REPEATED, "and", "dash", "hyphen", "minus", "point", "dot", "slash", "space", "comma", "then",
     "uh", "um", "er", "erm", "hmm")
)  # fmt: skip
_BEGINNING = frozenset((*OH, *REPEATED))
# Words in their own right: numbers only beside another one.
_SOFT = frozenset(("first", "second"))


def redact(words: Sequence[Word], kinds: Sequence[str]) -> tuple[Word, ...]:
    """The same words with each number that is to be hidden as one marker, such as `[NUMBERS]`."""
    if "numbers" in kinds:
        marker, least = "[NUMBERS]", 0
    elif kinds:
        marker, least = f"[{kinds[0].upper()}]", LONG
    else:
        return tuple(words)
    kept: list[Word] = []
    at = 0
    while at < len(words):
        end = _run(words, at)
        if end == at:
            kept.append(words[at])
            at += 1
            continue
        run = words[at:end]
        touches = _joins(words[:at]) or _joins(words[end:])
        if touches or sum(_digits(word.text) for word in run) >= least:
            before, after = split(run[0].text)[0], split(run[-1].text)[2]
            # Around a number a mark could be a part of it.
            kept.append(merge(run, _harmless(before) + marker + _harmless(after)))
        else:
            kept.extend(run)
        at = end
    return tuple(kept)


def _run(words: Sequence[Word], start: int) -> int:
    """Where the number that begins with this word ends; `start` when none does."""
    end, at, sure = start, start, False
    while at < len(words):
        parts = _PARTS.findall(words[at].text.lower())
        if any(_number(part) for part in parts):
            sure, end = True, at + 1
        elif parts and all(part in _SOFT for part in parts):
            end = at + 1
        elif parts and not all(part in (_BEGINNING if at == start else _JOINING) for part in parts):
            break
        at += 1
    return end if sure else start


def _joins(words: Sequence[Word]) -> bool:
    """Whether a number may go on over these words; it does over none."""
    return all(set(_PARTS.findall(word.text.lower())) <= _JOINING for word in words)


def _number(part: str) -> bool:
    return (
        any(character.isnumeric() for character in part)
        or (part in VOCABULARY and part not in _SOFT)
        or part in _MORE
    )


def _digits(text: str) -> int:
    """How many digits this would have if it were written out."""
    count = 0
    for part in _PARTS.findall(text.lower()):
        word = ORDINALS.get(part, part)
        if word in UNITS or word in OH:
            count += 1
        elif word in TEENS or word in TENS or part in REPEATED:
            count += 2
        elif part in VOCABULARY or part in _MORE:
            count += LONG
        else:
            count += sum(character.isnumeric() for character in part)
    return count


def _harmless(marks: str) -> str:
    return "".join(mark for mark in marks if not mark.isalnum() and not mark.isnumeric())
