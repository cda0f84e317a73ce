from __future__ import annotations

import pytest

from gateway.formatting.pipeline import Formatting
from wire.messages import Word

SAID = tuple(
    Word(text, i * 100, i * 100 + 90, 1.0)
    for i, text in enumerate(["Hi,", "it's", "twenty-one:", "five", "percent."])
)


def read(formatting: Formatting) -> str:
    return " ".join(word.text for word in formatting.apply(SAID))


@pytest.mark.parametrize(
    ("formatting", "text"),
    [
        (Formatting(), "Hi, it's twenty-one: five percent."),
        (Formatting(smart_format=True), "Hi, it's 21: 5%."),
        (Formatting(numerals=True), "Hi, it's 21: 5 percent."),
        (Formatting(punctuate=False), "hi it's twenty-one five percent"),
        (Formatting(punctuate=False, numerals=True), "hi it's 21 5 percent"),
        (Formatting(punctuate=False, smart_format=True), "Hi, it's 21: 5%."),
        (Formatting(smart_format=True, redact=("numbers",)), "Hi, it's [NUMBERS] percent."),
        (Formatting(punctuate=False, redact=("numbers",)), "hi it's [numbers] percent"),
        (Formatting(smart_format=True, numerals=True, english=False), "Hi, it's twenty-one: five percent."),
    ],
)
def test_each_wish_and_together(formatting: Formatting, text: str) -> None:
    assert read(formatting) == text
