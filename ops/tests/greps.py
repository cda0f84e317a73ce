"""What the commands of a runbook look for on a page of metrics."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product

_OF_METRICS = re.compile(r"/metrics \| grep -E '([^']+)'")


def of_metrics(line: str) -> list[str]:
    return _OF_METRICS.findall(line)


def alternatives(pattern: str) -> Iterator[str]:
    """`^a_(b|c)_d` looks for two, each of which has to be there."""
    for one in _split(pattern):
        pieces = _pieces(one)
        yield from ("".join(chosen) for chosen in product(*pieces))


def _pieces(pattern: str) -> Iterator[list[str]]:
    while pattern:
        before, bracket, rest = pattern.partition("(")
        yield [before]
        if not bracket:
            return
        end = _closing(rest)
        optional = rest[end + 1 :].startswith("?")
        yield [*alternatives(rest[:end]), *([""] if optional else [])]
        pattern = rest[end + 1 + optional :]


def _split(pattern: str) -> list[str]:
    """By those `|` that are in no brackets."""
    parts, depth = [""], 0
    for letter in pattern:
        depth += (letter == "(") - (letter == ")")
        if letter == "|" and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def _closing(text: str) -> int:
    depth = 1
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if not depth:
            return place
    raise ValueError(f"a bracket is not closed: {text}")
