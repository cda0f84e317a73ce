# ruff: noqa: RUF001 (letters of other scripts are what it is about)
from __future__ import annotations

import pytest

from metering.invoices.letters import MISSING, drawn


class Everything:
    def __contains__(self, _: object) -> bool:
        return True


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Plain, 12 (x)", "Plain, 12 (x)"),
        ("שלום", "םולש"),
        ("שלום (12) ABC", "ABC (12) םולש"),
        ("ABC שלום 12 (x)", "ABC 12 םולש (x)"),
        ("שלום (עולם)", "(םלוע) םולש"),
        ("A ב 1 ג", "A ג 1 ב"),
        ("a\u200b\u202e\x00b\tc", "ab c"),
        ("e\u0301", "é"),
    ],
)
def test_the_order_of_drawing(text: str, shown: str) -> None:
    assert drawn(text, Everything()) == shown


def test_marks_stay_behind_their_letter() -> None:
    assert drawn("ש\u05b8לו", Everything()) == "ולש\u05b8"


def test_arabic_letters_join() -> None:
    # beh in its four shapes: alone, at the beginning, in the middle, at the end
    assert drawn("ب", Everything()) == "\ufe8f"
    assert drawn("ببب", Everything()) == "\ufe90\ufe92\ufe91"
    assert drawn("ابا", Everything()) == "\ufe8e\ufe91\ufe8d"  # alef joins only to what is before it


def test_what_the_font_lacks_is_a_box() -> None:
    assert drawn("a東b", {ord("a"), ord("b")}) == f"a{MISSING}b"
