"""Words as captions: SubRip (srt) and WebVTT (vtt). Pure.

A caption is at most two lines of 42 characters and seven seconds. It ends where a sentence does, or where
the speaker pauses; when it must end elsewhere, at a comma if there is one in its second half.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from gateway.recorded.grouping import Words, ends_sentence
from wire.messages import Word

LINE = 42
LINES = 2
LONGEST_MS = 7000
SHORTEST_MS = 700  # less cannot be read; longer only where the next caption leaves room
PAUSE_MS = 1000
# A sentence shorter than this may share its caption with the next one.
SHORT_SENTENCE = 20
# How much more unequal two lines may be when the first ends with a clause.
CLAUSE_BONUS = 14
_CLAUSE_ENDS = (",", ";", ":", "—")


@dataclass(frozen=True)
class Caption:
    start_ms: int
    end_ms: int
    lines: tuple[str, ...]


def captions(words: Words) -> list[Caption]:
    groups: list[list[Word]] = []
    current: list[Word] = []
    for word in words:
        if current and _must_break(current, word):
            current, rest = _at_a_clause(current)
            groups.append(current)
            # What was cut off the end still has to fit with the word.
            if rest and _must_break(rest, word):
                groups.append(rest)
                rest = []
            current = rest
        elif current and _may_break(current, word):
            groups.append(current)
            current = []
        current.append(word)
    if current:
        groups.append(current)
    return _timed(groups)


def srt(words: Words) -> str:
    blocks = [
        f"{number}\n{_clock(caption.start_ms, ',')} --> {_clock(caption.end_ms, ',')}\n"
        + "\n".join(caption.lines)
        for number, caption in enumerate(captions(words), start=1)
    ]
    return "".join(block + "\n\n" for block in blocks)


def vtt(words: Words) -> str:
    blocks = [
        f"{_clock(caption.start_ms, '.')} --> {_clock(caption.end_ms, '.')}\n"
        + "\n".join(_escape(line) for line in caption.lines)
        for caption in captions(words)
    ]
    return "WEBVTT\n\n" + "".join(block + "\n\n" for block in blocks)


def wrap(texts: Sequence[str]) -> tuple[str, ...] | None:
    """The words on one line, or on two that are about equally long, parted where a clause ends if one does
    near there; None when they do not fit."""
    whole = " ".join(texts)
    if len(whole) <= LINE or len(texts) == 1:
        return (whole,)
    pairs = [(texts[:cut], texts[cut:]) for cut in range(1, len(texts))]
    fitting = [(_line(first), _line(second)) for first, second in pairs if _fits(first) and _fits(second)]
    if not fitting:
        return None
    return min(
        fitting, key=lambda pair: abs(len(pair[0]) - len(pair[1])) - CLAUSE_BONUS * ends_clause(pair[0])
    )


def ends_clause(text: str) -> bool:
    return text.endswith(_CLAUSE_ENDS) or ends_sentence(text)


def _line(texts: Sequence[str]) -> str:
    return " ".join(texts)


def _fits(texts: Sequence[str]) -> bool:
    return len(_line(texts)) <= LINE or len(texts) == 1  # a word longer than a line cannot be helped


def _must_break(current: list[Word], word: Word) -> bool:
    return (
        word.start_ms - current[-1].end_ms >= PAUSE_MS
        or word.end_ms - current[0].start_ms > LONGEST_MS
        or wrap([w.text for w in (*current, word)]) is None
    )


def _may_break(current: list[Word], word: Word) -> bool:
    length = len(" ".join(w.text for w in current))
    return ends_sentence(current[-1].text) and length >= SHORT_SENTENCE


def _at_a_clause(current: list[Word]) -> tuple[list[Word], list[Word]]:
    for cut in range(len(current), max(1, len(current) // 2), -1):
        if ends_clause(current[cut - 1].text):
            return current[:cut], current[cut:]
    return current, []


def _timed(groups: list[list[Word]]) -> list[Caption]:
    """They follow each other: none begins before the one before it has ended, and none is gone at once."""
    starts = [group[0].start_ms for group in groups]
    ends = [max(group[-1].end_ms, group[0].start_ms + SHORTEST_MS) for group in groups]
    for index, (_, following) in enumerate(pairwise(starts)):
        ends[index] = max(min(ends[index], following), starts[index] + 1)
    return [
        Caption(start, end, wrap([word.text for word in group]) or (" ".join(w.text for w in group),))
        for start, end, group in zip(starts, ends, groups, strict=True)
    ]


def _clock(milliseconds: int, point: str) -> str:
    seconds, ms = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{point}{ms:03}"


def _escape(line: str) -> str:
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
