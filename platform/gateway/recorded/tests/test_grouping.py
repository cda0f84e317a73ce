from __future__ import annotations

import pytest

from gateway.recorded.grouping import (
    PARAGRAPH_SENTENCES,
    Words,
    ends_sentence,
    paragraphs,
    sentences,
    utterances,
)
from gateway.recorded.tests.saying import words


def text(group: Words) -> str:
    return " ".join(word.text for word in group)


def test_utterances_part_where_nobody_speaks() -> None:
    said = [*words("one two"), *words("three", start_ms=1500)]  # `two` ends at 700
    assert [text(group) for group in utterances(said, 800)] == ["one two", "three"]
    assert [text(group) for group in utterances(said, 801)] == ["one two three"]
    assert utterances([], 800) == []


def test_sentences_part_at_their_ends_and_not_at_abbreviations() -> None:
    said = words('Ask Dr. Beckett. "Why?" he said. It cost 3.5 pounds')
    assert [text(group) for group in sentences(said)] == [
        "Ask Dr. Beckett.",
        '"Why?"',
        "he said.",
        "It cost 3.5 pounds",
    ]


@pytest.mark.parametrize(("word", "ends"), [("no.", True), ("No!”", True), ("a,", False), ("Mr.", False)])
def test_what_ends_a_sentence(word: str, ends: bool) -> None:
    assert ends_sentence(word) is ends


def test_a_paragraph_ends_at_a_long_pause_or_when_it_is_long() -> None:
    said = [*words("One. Two."), *words("Three.", start_ms=10_000)]
    assert [[text(one) for one in part] for part in paragraphs(said)] == [["One.", "Two."], ["Three."]]
    many = words(" ".join(["Yes."] * (PARAGRAPH_SENTENCES + 1)))
    assert [len(part) for part in paragraphs(many)] == [PARAGRAPH_SENTENCES, 1]
    assert paragraphs([]) == []
