"""English numbers as they are written: 21, 3.5, 21st, 5%, $20.50, May 5th, 7:30 PM, 1984, 415-555-1212.

Only where there is one way to read it: a month, a percentage, money and `a.m.` say what the number beside
them is.
Numbers below ten stay words unless they are a part of one of these, or `small` asks for them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.formatting.numbers import (
    OH,
    REPEATED,
    UNITS,
    VOCABULARY,
    Number,
    grouped,
    read_number,
    suffix,
)
from gateway.formatting.words import merge, split
from wire.messages import Word

_MONTHS = frozenset(
    ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
     "november", "december")
)  # fmt: skip
_ALSO_VERBS = frozenset(("march", "may"))
_MONEY = {"dollar": "$", "dollars": "$", "euro": "€", "euros": "€"}
_HALVES = {"am": "AM", "a.m": "AM", "pm": "PM", "p.m": "PM"}
_LITERAL = re.compile(r"[0-9][0-9,]*(\.[0-9]+)?\Z")
_CLOCK = re.compile(r"(1[0-2]|0?[1-9])(:[0-5][0-9])?\Z")
# Beside these, "one" is no number.
_BEFORE_ONE = frozenset(("no", "any", "every", "some", "this", "that", "the", "which", "each", "another"))
_AFTER_ONE = frozenset(("of", "another", "who", "that"))
LEAST = 10
PHONE = {7: (3, 7), 10: (3, 6, 10), 11: (1, 4, 7, 11)}


@dataclass(frozen=True)
class _Said:
    """The words of a result, taken apart."""

    words: Sequence[Word]
    lead: Sequence[str]
    core: Sequence[str]
    trail: Sequence[str]

    def stretch(self, start: int, across: str = "") -> list[str]:
        """From here on, the parts of words that no mark separates, but those in `across`."""
        parts: list[str] = []
        for at in range(start, len(self.core)):
            if at > start and (self.lead[at] or self.trail[at - 1].strip(across)):
                break
            parts += self.core[at].split("-") if self.core[at].count("-") < 4 else [self.core[at]]
        return parts

    def words_of(self, start: int, parts: int) -> int | None:
        """How many words have so many parts; None if that is in the middle of one."""
        at = start
        while parts > 0 and at < len(self.core):
            parts -= self.core[at].count("-") + 1 if self.core[at].count("-") < 4 else 1
            at += 1
        return at - start if parts == 0 else None


@dataclass(frozen=True)
class _Found:
    """What is written instead of this many words."""

    text: str
    length: int
    trail: str | None = None  # instead of the mark after the last of them


def smart_format(words: Sequence[Word], *, smart: bool = True, small: bool = False) -> tuple[Word, ...]:
    cut = [split(word.text) for word in words]
    said = _Said(words, [c[0] for c in cut], [c[1].lower() for c in cut], [c[2] for c in cut])
    if not any(_interesting(core) for core in said.core):
        return tuple(words)
    rules: tuple[Callable[[_Said, int], _Found | None], ...] = (
        (_time, _money, _percent, _day, _phone, _year, _decimal) if smart else (_run, _decimal)
    )
    written: list[Word] = []
    at = 0
    while at < len(words):
        found = next((hit for rule in rules if (hit := rule(said, at))), None)
        found = found or _plain(said, at, small=small)
        if found is None:
            written.append(words[at])
            at += 1
            continue
        last = at + found.length - 1
        text = said.lead[at] + found.text + (said.trail[last] if found.trail is None else found.trail)
        written.append(merge(words[at : last + 1], text))
        at += found.length
    return tuple(written)


def _interesting(core: str) -> bool:
    return core[:1].isdigit() or any(part in VOCABULARY for part in core.split("-"))


# ---- numbers


@dataclass(frozen=True)
class _Amount:
    text: str
    length: int  # words
    value: int | None = None


def _amount(said: _Said, at: int) -> _Amount | None:
    """A number in words or in digits, whole or with a point."""
    if at >= len(said.core):
        return None
    if _LITERAL.match(said.core[at]) and not said.lead[at]:
        plain = said.core[at].replace(",", "")
        return _Amount(said.core[at], 1, int(plain) if plain.isdecimal() and len(plain) < 16 else None)
    if decimal := _decimal(said, at):
        return _Amount(decimal.text, decimal.length)
    found = _whole(said, at)
    if found is None or found[0].ordinal:
        return None
    return _Amount(grouped(found[0].value), found[1], found[0].value)


def _whole(said: _Said, at: int) -> tuple[Number, int] | None:
    number = read_number(said.stretch(at))
    length = said.words_of(at, number.length) if number else None
    return (number, length) if number and length else None


def _plain(said: _Said, at: int, *, small: bool) -> _Found | None:
    found = _whole(said, at)
    if found is None:
        return None
    number, length = found
    if number.ordinal:
        return _ordinal(said, at, number, length)
    if number.value < LEAST and not (small and not _pronoun(said, at)):
        return None
    return _Found(grouped(number.value), length)


def _ordinal(said: _Said, at: int, number: Number, length: int) -> _Found | None:
    last = said.core[at + length - 1]
    if number.value < LEAST or (last == "second" and not _is(said, at + length, "of")):
        return None  # "a twenty second pause"
    return _Found(grouped(number.value) + suffix(number.value), length)


def _pronoun(said: _Said, at: int) -> bool:
    return said.core[at] == "one" and (
        (at > 0 and said.core[at - 1] in _BEFORE_ONE)
        or (at + 1 < len(said.core) and said.core[at + 1] in _AFTER_ONE)
    )


def _decimal(said: _Said, at: int) -> _Found | None:
    parts = said.stretch(at)
    number = read_number(parts)
    if number is None or number.ordinal or parts[number.length : number.length + 1] != ["point"]:
        return None
    digits = ""
    for part in parts[number.length + 1 :]:
        digit = _digit(part)
        if digit is None:
            break
        digits += digit
    length = said.words_of(at, number.length + 1 + len(digits)) if digits else None
    return _Found(f"{grouped(number.value)}.{digits}", length) if length else None


def _digit(part: str) -> str | None:
    return "0" if part in OH else str(UNITS[part]) if part in UNITS else None


# ---- digits read out


def _run(said: _Said, at: int) -> _Found | None:
    parts, digits, used = said.stretch(at, across=",-"), "", 0
    while used < len(parts):
        times = REPEATED.get(parts[used], 1)
        next_part = parts[used + 1] if times > 1 and used + 1 < len(parts) else parts[used]
        digit = _digit(next_part)
        if digit is None:
            break
        digits += digit * times
        used += 2 if times > 1 else 1
    # "Oh, one two three" is rather a surprise than a number.
    if len(digits) < (4 if said.core[at] in OH else 3):
        return None
    # "one two three hundred": the last is a number of its own.
    if used < len(parts) and (parts[used] in VOCABULARY or parts[used] == "point"):
        return None
    length = said.words_of(at, used)
    return _Found(digits, length) if length else None


def _phone(said: _Said, at: int) -> _Found | None:
    run = _run(said, at)
    if run is None or len(run.text) not in PHONE or (len(run.text) == 11 and run.text[0] != "1"):
        return run
    cuts = PHONE[len(run.text)]
    return _Found("-".join(run.text[a:b] for a, b in zip((0, *cuts), cuts, strict=False)), run.length)


# ---- what the word beside it says


def _percent(said: _Said, at: int) -> _Found | None:
    amount = _amount(said, at)
    if amount is None:
        return None
    after = at + amount.length
    if _is(said, after, "percent"):
        return _Found(amount.text + "%", amount.length + 1)
    if _is(said, after, "per") and _is(said, after + 1, "cent"):
        return _Found(amount.text + "%", amount.length + 2)
    return None


def _money(said: _Said, at: int) -> _Found | None:
    amount = _amount(said, at)
    if amount is None or not _follows(said, at + amount.length):
        return None
    after = at + amount.length
    sign = _MONEY.get(said.core[after])
    if sign is None:
        return None
    with_and = after + 2 if _is(said, after + 1, "and") else after + 1
    cents = _amount(said, with_and) if _follows(said, with_and) else None
    if amount.value is not None and cents and cents.value is not None and 0 < cents.value < 100:
        end = with_and + cents.length
        if _is(said, end, "cents") or _is(said, end, "cent"):
            return _Found(f"{sign}{amount.text}.{cents.value:02}", end + 1 - at)
    return _Found(sign + amount.text, amount.length + 1)


def _time(said: _Said, at: int) -> _Found | None:
    if _CLOCK.match(said.core[at]) and not said.lead[at]:
        clock, after = said.core[at], at + 1
    else:
        hour = _whole(said, at)
        if hour is None or hour[0].ordinal or not 1 <= hour[0].value <= 12:
            return None
        clock, after = str(hour[0].value), at + hour[1]
        if _follows(said, after) and (minutes := _minutes(said, after)):
            clock, after = f"{clock}:{minutes.text}", after + minutes.length
    if not _follows(said, after):
        return None
    half, length = _HALVES.get(said.core[after]), 1
    if half is None and said.core[after] in ("a", "p") and _is(said, after + 1, "m"):
        half, length = said.core[after].upper() + "M", 2
    if half is None:
        return None
    end = after + length
    # The last dot of "p.m." ends a sentence only where one ends.
    goes_on = end < len(said.words) and said.words[end].text[:1].islower()
    return _Found(f"{clock} {half}", end - at, "" if goes_on and said.trail[end - 1] == "." else None)


def _minutes(said: _Said, at: int) -> _Found | None:
    if said.core[at] in OH and at + 1 < len(said.core) and (digit := UNITS.get(said.core[at + 1])):
        return _Found(f"0{digit}", 2)
    found = _whole(said, at)
    if found is None or found[0].ordinal or not 10 <= found[0].value <= 59:
        return None
    return _Found(str(found[0].value), found[1])


def _day(said: _Said, at: int) -> _Found | None:
    found = _whole(said, at)
    if found is None or not found[0].ordinal or not 1 <= found[0].value <= 31:
        return None
    number, length = found
    before = at > 0 and not said.trail[at - 1] and _month(said, at - 1)
    after = (
        _is(said, at + length, "of") and at + length + 1 < len(said.core) and _month(said, at + length + 1)
    )
    return _Found(f"{number.value}{suffix(number.value)}", length) if before or after else None


def _month(said: _Said, at: int) -> bool:
    core = said.core[at]
    # "You may first …", "march third in line": only with a capital, and not where every sentence has one.
    return core in _MONTHS and (
        core not in _ALSO_VERBS or (at > 0 and said.words[at].text[len(said.lead[at])].isupper())
    )


def _year(said: _Said, at: int) -> _Found | None:
    parts = said.stretch(at)
    century = read_number(parts[:1])
    if century is None or century.ordinal or not 17 <= century.value <= 20:
        return None
    if parts[1:2] and parts[1] in OH:
        unit, used = UNITS.get(parts[2], 0) if len(parts) > 2 else 0, 3
        decade = unit if unit else None
    else:
        number = read_number(parts[1:3])
        fits = number and not number.ordinal and 10 <= number.value <= 99
        decade, used = (number.value, 1 + number.length) if number and fits else (None, 0)
    if decade is None or (used < len(parts) and parts[used] in (*VOCABULARY, "point")):
        return None
    length = said.words_of(at, used)
    return _Found(str(century.value * 100 + decade), length) if length else None


def _follows(said: _Said, at: int) -> bool:
    """There is such a word, and no mark before it."""
    return at < len(said.core) and not said.trail[at - 1] and not said.lead[at]


def _is(said: _Said, at: int, word: str) -> bool:
    return _follows(said, at) and said.core[at] == word
