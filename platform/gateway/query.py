"""Query strings: what a parameter is, and how its text becomes a value. Pure.

A reader takes all values that were given for a name, of which there is at least one, and raises `NotAllowed`.
Where one is wanted, the last counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as made
from urllib.parse import parse_qsl

from gateway.errors import BadParameter

MAX_QUERY_BYTES = 8192
MAX_FIELDS = 200
MAX_MISTAKES = 5  # that are named in one refusal
MAX_TEXT = 64
# isdecimal alone would let other scripts' digits pass.
_WHOLE = re.compile(r"[0-9]{1,9}\Z")
_NUMBER = re.compile(r"[+-]?[0-9]{1,9}(\.[0-9]{1,20})?\Z")


class NotAllowed(Exception):
    """A value is not one of those that the parameter may have."""


Values = Mapping[str, Sequence[str]]
Read = Callable[[Sequence[str]], object]


@dataclass(frozen=True)
class Parameter:
    """One parameter, as the parser, the documentation and the OpenAPI document have it."""

    name: str
    means: str
    allowed: str  # completes "allowed is …"
    default: str
    read: Read
    field: str  # where the value goes
    schema: Mapping[str, object] = made(default_factory=lambda: {"type": "string"})
    repeated: bool = False


def fields(query: bytes) -> dict[str, list[str]]:
    """All values by name. Raises `BadParameter`."""
    if len(query) > MAX_QUERY_BYTES:
        raise BadParameter(f"The query string is {len(query)} bytes; at most {MAX_QUERY_BYTES} are read.")
    try:
        pairs = parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            max_num_fields=MAX_FIELDS,
            encoding="utf-8",
            errors="strict",
        )
    except ValueError:
        raise BadParameter(f"The query string is not one, or has more than {MAX_FIELDS} fields.") from None
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return values


def read(parameters: Sequence[Parameter], values: Values) -> dict[str, object]:
    """What was given, by field. Raises one `BadParameter` that names every mistake."""
    found: dict[str, object] = {}
    mistakes: list[str] = []
    for parameter in parameters:
        if given := values.get(parameter.name):
            try:
                found[parameter.field] = parameter.read(given)
            except NotAllowed:
                mistakes.append(mistake(parameter.name, given, parameter.allowed))
    if mistakes:
        more = len(mistakes) - MAX_MISTAKES
        raise BadParameter(
            " ".join(mistakes[:MAX_MISTAKES]) + (f" And {more} more mistakes." if more > 0 else "")
        )
    return found


def mistake(name: str, given: Sequence[str], allowed: str) -> str:
    shown = repr(given[-1][:60]) if len(given) == 1 else f"{len(given)} values"
    return f"{name}={shown}: allowed is {allowed}."


# ---- readers


def boolean(given: Sequence[str]) -> bool:
    value = given[-1].lower()
    if value not in ("true", "false"):
        raise NotAllowed
    return value == "true"


def whole(low: int, high: int) -> Read:
    def parse(given: Sequence[str]) -> int:
        digits = given[-1].removeprefix("-") if low < 0 else given[-1]
        if not _WHOLE.match(digits) or not low <= int(given[-1]) <= high:
            raise NotAllowed
        return int(given[-1])

    return parse


def number(low: float, high: float) -> Read:
    def parse(given: Sequence[str]) -> float:
        if not _NUMBER.match(given[-1]) or not low <= float(given[-1]) <= high:
            raise NotAllowed
        return float(given[-1])

    return parse


def switch_or_whole(low: int, high: int, *, on: int | None, off: int | None) -> Read:
    """A number, or `true` or `false` for what they stand for."""
    number = whole(low, high)

    def parse(given: Sequence[str]) -> object:
        word = given[-1].lower()
        return on if word == "true" else off if word == "false" else number(given)

    return parse


def choice(*allowed: str) -> Read:
    def parse(given: Sequence[str]) -> str:
        value = given[-1].lower()
        if value not in allowed:
            raise NotAllowed
        return value

    return parse


def text(longest: int = MAX_TEXT) -> Read:
    def parse(given: Sequence[str]) -> str:
        if not 0 < len(given[-1]) <= longest or not given[-1].isprintable():
            raise NotAllowed
        return given[-1]

    return parse


def texts(most: int, longest: int) -> Read:
    """Every value that was given; empty ones are left out, because some clients send a name without one."""

    def parse(given: Sequence[str]) -> tuple[str, ...]:
        kept = tuple(value for value in given if value)
        if len(kept) > most or any(len(value) > longest or not value.isprintable() for value in kept):
            raise NotAllowed
        return kept

    return parse


def weighted(most: int, longest: int) -> Read:
    """Words with an optional weight, `word:2`, which no engine of ours has a use for."""
    plain = texts(most, longest)

    def parse(given: Sequence[str]) -> object:
        return plain([_without_weight(value) for value in given])

    return parse


def _without_weight(value: str) -> str:
    word, _, weight = value.rpartition(":")
    return word if word and _NUMBER.match(weight) else value


def several(allowed: Sequence[str], *, meaning: Mapping[str, str] | None = None) -> Read:
    """Any of the allowed values, each once, in order; also with commas between them."""
    meaning = meaning or {}

    def parse(given: Sequence[str]) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for value in (part.strip().lower() for each in given for part in each.split(",")):
            value = meaning.get(value, value)
            if value == "false":
                continue
            if value not in allowed:
                raise NotAllowed
            found[value] = None
        return tuple(found)

    return parse


def pairs(most: int, longest_key: int, longest_value: int) -> Read:
    """`key:value`, repeated; the last of a key counts."""

    def parse(given: Sequence[str]) -> tuple[tuple[str, str], ...]:
        found: dict[str, str] = {}
        for each in given:
            key, colon, value = each.partition(":")
            if not colon or not 0 < len(key) <= longest_key or len(value) > longest_value:
                raise NotAllowed
            if not each.isprintable():
                raise NotAllowed
            found[key] = value
        if len(found) > most:
            raise NotAllowed
        return tuple(found.items())

    return parse
