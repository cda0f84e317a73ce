from __future__ import annotations

import pytest

from gateway.formatting.numbers import Number, grouped, read_number, suffix


@pytest.mark.parametrize(
    ("said", "value", "length"),
    [
        ("zero", 0, 1),
        ("twenty one", 21, 2),
        ("twenty twenty", 20, 1),
        ("one hundred and five", 105, 4),
        ("one hundred and cats", 100, 2),
        ("twenty five hundred", 2500, 3),
        ("two thousand and five", 2005, 4),
        ("nine hundred ninety nine thousand nine hundred ninety nine", 999_999, 9),
        ("one million one", 1_000_001, 3),
        ("two thousand five thousand", 2000, 2),
        ("zero hundred", 0, 1),
    ],
)
def test_cardinals(said: str, value: int, length: int) -> None:
    assert read_number(said.split()) == Number(value, length)


@pytest.mark.parametrize(
    ("said", "value", "length"),
    [("first", 1, 1), ("twenty first", 21, 2), ("twentieth", 20, 1), ("two hundredth", 200, 2),
     ("one hundred and twelfth", 112, 4), ("three thousandth", 3000, 2), ("fifth avenue", 5, 1)],
)  # fmt: skip
def test_ordinals(said: str, value: int, length: int) -> None:
    assert read_number(said.split()) == Number(value, length, ordinal=True)


@pytest.mark.parametrize("said", ["", "cat", "and five", "hundred", "thousand cats"])
def test_no_number(said: str) -> None:
    assert read_number(said.split()) is None


def test_how_they_are_written() -> None:
    assert [f"{n}{suffix(n)}" for n in (1, 2, 3, 4, 11, 12, 13, 21, 112)] == [
        "1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "112th",
    ]  # fmt: skip
    assert [grouped(n) for n in (999, 2026, 10_000)] == ["999", "2026", "10,000"]
