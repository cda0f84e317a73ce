from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.formatting.words import bare_word, merge, split
from wire.messages import Word


@pytest.mark.parametrize(
    ("text", "bare"),
    [("Don't,", "don't"), ("—", "—"), ("“Hi”", "hi"), ("A.", "a"), ("", ""), ("3.5%", "3.5%"), ("$5.", "$5"),
     ("[NUMBERS].", "[numbers]"), ("#1!", "#1")],
)  # fmt: skip
def test_bare_words(text: str, bare: str) -> None:
    assert bare_word(text) == bare


@given(st.text(max_size=8))
def test_nothing_is_lost_and_again_changes_nothing(text: str) -> None:
    assert "".join(split(text)) == text
    assert split(split(text)[1])[1] == split(text)[1]


def test_several_words_as_one() -> None:
    said = [Word("a", 0, 10, 1.0), Word("b", 20, 30, 0.5)]
    assert merge(said, "ab") == Word("ab", 0, 30, 0.75)
