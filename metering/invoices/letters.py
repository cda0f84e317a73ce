"""Texts as the PDF can set them: in the order they are drawn in, with letters that the font has. Pure.

reportlab draws letters from left to right as they come. Hebrew and Arabic run the other way, and Arabic
letters join; so both are brought into the form and order in which they are seen. That is the part of
Unicode's rules (UAX 9 and the presentation forms) that names and addresses need, and not all of them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Container
from functools import cache
from itertools import groupby

MISSING = "\N{WHITE SQUARE}"
MIRRORED = dict(zip("()[]{}<>«»", ")(][}{><»«", strict=True))


def drawn(text: str, glyphs: Container[int]) -> str:
    """One line of text; what the font lacks is a box, and what cannot be seen is left out."""
    text = unicodedata.normalize("NFC", text)
    shown = "".join(_plain(letter) for letter in text)
    if any(unicodedata.bidirectional(letter) in ("R", "AL") for letter in shown):
        shown = _reordered(_joined(shown))
    return "".join(letter if ord(letter) in glyphs else MISSING for letter in shown)


def _plain(letter: str) -> str:
    category = unicodedata.category(letter)
    if category == "Zs" or letter in "\t\n\r":
        return " "
    # Controls and marks of direction; half a surrogate pair is no letter.
    return MISSING if category == "Cs" else "" if category in ("Cc", "Cf", "Zl", "Zp") else letter


@cache
def _forms() -> dict[str, dict[str, str]]:
    """Of each Arabic letter: its shape alone, at the end, at the beginning and in the middle of a join."""
    found: dict[str, dict[str, str]] = {}
    for point in (*range(0xFB50, 0xFDFF), *range(0xFE70, 0xFEFD)):
        kind, _, base = unicodedata.decomposition(chr(point)).partition(" ")
        if len(base) == 4 and kind in ("<isolated>", "<final>", "<initial>", "<medial>"):
            found.setdefault(chr(int(base, 16)), {}).setdefault(kind, chr(point))
    return found


def _joined(text: str) -> str:
    forms = _forms()
    letters = [i for i, letter in enumerate(text) if not unicodedata.combining(letter)]
    shaped = list(text)
    for place, i in enumerate(letters):
        own = forms.get(text[i])
        if own is None:
            continue
        before = forms.get(text[letters[place - 1]], {}) if place else {}
        after = forms.get(text[letters[place + 1]], {}) if place + 1 < len(letters) else {}
        joins_before = "<initial>" in before and "<final>" in own
        joins_after = "<initial>" in own and "<final>" in after
        kind = {
            (True, True): "<medial>", (True, False): "<final>", (False, True): "<initial>",
        }.get((joins_before, joins_after), "<isolated>")  # fmt: skip
        shaped[i] = own.get(kind, text[i])
    return "".join(shaped)


def _reordered(text: str) -> str:
    """From the order of reading to that of drawing. The line's direction is that of its first letter."""
    directions = _resolved(text)
    base = next(direction for direction in directions if direction in "LR")
    runs: list[tuple[str, str]] = []
    for letter, direction in zip(text, directions, strict=True):
        if runs and runs[-1][0] == direction:
            runs[-1] = (direction, runs[-1][1] + letter)
        else:
            runs.append((direction, letter))
    parts = [(direction != "L", _mirrored(run) if direction == "R" else run) for direction, run in runs]
    if base == "R":
        return "".join(run for _, run in reversed(parts))
    # What runs from the right is turned round in its place.
    groups = [[run for _, run in group] for _, group in groupby(parts, key=lambda part: part[0])]
    leftward = parts[0][0]
    return "".join(
        run
        for i, group in enumerate(groups)
        for run in (reversed(group) if leftward != bool(i % 2) else group)
    )


def _resolved(text: str) -> list[str]:
    """Of each letter L, R, or E for a number in what runs from the right: it is itself read from the left.
    What has no direction goes with its neighbours where they agree, else with the line."""
    kinds = [_direction(letter) for letter in text]
    base = next(kind for kind in kinds if kind in "LR")
    strong = base
    for i, kind in enumerate(kinds):
        if kind in "LR":
            strong = kind
        elif kind == "E" and strong == "L":
            kinds[i] = "L"
    for i, kind in enumerate(kinds):
        if kind == "N":
            before = next((_side(k) for k in reversed(kinds[:i]) if k != "N"), base)
            after = next((_side(k) for k in kinds[i + 1 :] if k != "N"), base)
            kinds[i] = before if before == after else base
    return kinds


def _side(kind: str) -> str:
    return "R" if kind == "E" else kind


def _direction(letter: str) -> str:
    kind = unicodedata.bidirectional(letter)
    return {"R": "R", "AL": "R", "L": "L", "EN": "E", "AN": "E"}.get(kind, "N")


def _mirrored(run: str) -> str:
    """Backwards, but marks stay behind the letters that they sit on."""
    clusters: list[str] = []
    for letter in run:
        if clusters and unicodedata.combining(letter):
            clusters[-1] += letter
        else:
            clusters.append(MIRRORED.get(letter, letter))
    return "".join(reversed(clusters))
