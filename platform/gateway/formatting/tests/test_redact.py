from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.formatting.numbers import VOCABULARY
from gateway.formatting.redact import KINDS, redact
from wire.messages import Word


def words(text: str) -> tuple[Word, ...]:
    return tuple(Word(word, i * 100, i * 100 + 90, 0.5) for i, word in enumerate(text.split()))


def text(said: tuple[Word, ...]) -> str:
    return " ".join(word.text for word in said)


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("My number is four one one one, oh two.", "My number is [NUMBERS]."),
        ("I have two cats and one dog.", "I have [NUMBERS] cats and [NUMBERS] dog."),
        ("room 12a at 7:45", "room [NUMBERS] at [NUMBERS]"),
        ("twenty-one-ish and ½ and ٣", "[NUMBERS]"),
        ("double five, um, triple zero", "[NUMBERS]"),
        ("born in the nineties, I was third", "born in the [NUMBERS], I was [NUMBERS]"),
        ("Oh, I see. First wait a second.", "Oh, I see. First wait a second."),
        ("the second of May two thousand", "the second of May [NUMBERS]"),
        ("number 4-1-1-1 is “42”!", "number [NUMBERS] is “[NUMBERS]”!"),
        ("", ""),
    ],
)
def test_numbers_are_hidden_however_they_are_said(said: str, read: str) -> None:
    assert text(redact(words(said), ("numbers",))) == read


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("card four one one one please", "card [PCI] please"),
        ("I have two cats and 21 dogs", "I have two cats and 21 dogs"),
        ("it is one hundred of them", "it is [PCI] of them"),
        ("code nine, uh, three, dash, nine please", "code [PCI] please"),
        # It may go on in the next result, or have begun in the one before.
        ("my card is four", "my card is [PCI]"),
        ("five five", "[PCI]"),
        ("one and then we talk", "[PCI] and then we talk"),
        ("is four, uh", "is [PCI], uh"),
    ],
)
def test_what_may_be_a_part_of_a_long_number_is_hidden(said: str, read: str) -> None:
    assert text(redact(words(said), ("pci",))) == read
    assert text(redact(words(said), ("ssn", "pci"))) == read.replace("PCI", "SSN")


def test_a_hidden_number_is_one_word_from_its_first_to_its_last() -> None:
    said = redact(
        (Word("is", 0, 90, 0.5), Word("four", 100, 190, 0.5), Word("two.", 200, 290, 1.0)), ["numbers"]
    )
    assert said == (Word("is", 0, 90, 0.5), Word("[NUMBERS].", 100, 290, 0.75))


NUMBER_WORDS = sorted(VOCABULARY - {"first", "second"})
SAID = st.sampled_from([*NUMBER_WORDS, "oh", "and", "double", "cat", "7", "7:30", "x9", "dash", "second"])
ANY_WORDS = st.lists(SAID | st.text(min_size=1, max_size=6).filter(str.strip), max_size=12).map(
    lambda texts: tuple(Word(t, i * 100, i * 100 + 90, 0.5) for i, t in enumerate(texts))
)


@given(ANY_WORDS)
def test_no_digit_is_left_written_or_spoken(said: tuple[Word, ...]) -> None:
    left = redact(said, ("numbers",))
    for word in left:
        assert not any(character.isnumeric() for character in word.text)
        assert word.text not in NUMBER_WORDS


CARD = words("four 1 one two, seven eight double nine six uh oh 5 3")
DIGITS = {"four", "1", "one", "two,", "seven", "eight", "nine", "six", "5", "3"}


@pytest.mark.parametrize("cut", range(len(CARD) + 1))
@pytest.mark.parametrize("kind", KINDS)
def test_no_part_of_a_long_number_is_left_wherever_results_are_cut(cut: int, kind: str) -> None:
    before, after = words("my card number is"), words("that is all")
    said = (*redact((*before, *CARD[:cut]), (kind,)), *redact((*CARD[cut:], *after), (kind,)))
    assert [word.text for word in said if word.text in DIGITS] == []


@given(ANY_WORDS, st.sampled_from(KINDS))
def test_order_and_time_stay_and_again_changes_nothing(said: tuple[Word, ...], kind: str) -> None:
    left = redact(said, (kind,))
    assert [word.start_ms for word in left] == sorted(word.start_ms for word in left)
    assert (not said and not left) or (left[0].start_ms, left[-1].end_ms) == (
        said[0].start_ms,
        said[-1].end_ms,
    )
    assert redact(left, (kind,)) == left
