"""Tokens to words. The frames are the model's; what NeMo's own pipeline makes of them is in test_equality."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_worker.engines.nemo.words import SOON_FRAMES, Spoken, Vocabulary, Writer

PIECES = ("▁the", "▁c", "at", "▁s", ".", "▁", "▁mat", "s")
VOCABULARY = Vocabulary(PIECES, lambda ids: "".join(PIECES[i] for i in ids).replace("▁", " "), frozenset("."))


def written(*tokens: tuple[str, int]) -> list[Spoken]:
    writer = Writer(VOCABULARY)
    for piece, frame in tokens:
        writer.hear([PIECES.index(piece)], [frame], [0.5])
    return writer.finish()


def test_a_word_lasts_until_the_next_one_that_comes_soon() -> None:
    the, cat = written(("▁the", 2), ("▁c", 4), ("at", 5))
    assert (the.text, the.start, the.end) == ("the", 2, 4)
    assert (cat.text, cat.start, cat.end) == ("cat", 4, 5)


def test_a_word_before_a_pause_ends_with_its_last_token() -> None:
    first, _ = written(("▁c", 2), ("at", 3), ("▁the", 3 + SOON_FRAMES + 1))
    assert (first.start, first.end) == (2, 3)


def test_no_word_lasts_no_time() -> None:
    (word,) = written(("▁the", 7))
    assert (word.start, word.end) == (7, 8)


def test_a_mark_belongs_to_the_word_before_it_and_not_to_its_time() -> None:
    (word,) = written(("▁c", 2), ("at", 3), (".", 9))
    assert (word.text, word.start, word.end) == ("cat.", 2, 3)


def test_an_empty_beginning_is_not_the_start_of_the_word() -> None:
    (word,) = written(("▁", 2), ("s", 4))
    assert (word.text, word.start) == ("s", 4)


def test_words_that_were_said_at_once_follow_one_another() -> None:
    words = written(("▁the", 3), ("▁c", 3), ("▁mat", 3))
    assert [(word.start, word.end) for word in words] == [(3, 4), (4, 5), (5, 6)]


def test_the_confidence_of_a_word_is_the_mean_of_its_tokens() -> None:
    writer = Writer(VOCABULARY)
    writer.hear([1, 2], [0, 1], [0.5, 1.0])
    assert writer.finish()[0].confidence == pytest.approx(0.75)


def test_what_is_so_far_changes_nothing() -> None:
    writer = Writer(VOCABULARY)
    writer.hear([0, 1], [0, 2], [1.0, 1.0])
    assert [word.text for word in writer.so_far()] == ["the", "c"]
    writer.hear([2], [3], [1.0])
    assert [word.text for word in writer.finish()] == ["the", "cat"]
    assert writer.finish() == []
    assert not writer.has_words


def test_only_whole_words_that_begin_in_time_are_cut_off() -> None:
    writer = Writer(VOCABULARY)
    writer.hear([0, 1, 2, 6], [0, 2, 3, 5], [1.0] * 4)
    assert [word.text for word in writer.finish(before=2)] == ["the"]
    assert [word.text for word in writer.finish(before=9)] == ["cat"]
    assert [word.text for word in writer.finish()] == ["mat"]


TOKENS = st.lists(st.tuples(st.sampled_from(range(len(PIECES))), st.integers(0, 3)), max_size=30)


@given(TOKENS, st.lists(st.integers(0, 30), max_size=5))
def test_however_tokens_come_the_words_are_the_same(tokens: list[tuple[int, int]], cuts: list[int]) -> None:
    frames, frame = [], 0
    for _, step in tokens:
        frame += step
        frames.append(frame)
    ids, sure = [token for token, _ in tokens], [0.5] * len(tokens)
    whole = Writer(VOCABULARY)
    whole.hear(ids, frames, sure)
    pieces = Writer(VOCABULARY)
    edges = sorted({0, len(ids), *(cut for cut in cuts if cut < len(ids))})
    for begin, end in itertools.pairwise(edges):
        pieces.hear(ids[begin:end], frames[begin:end], sure[begin:end])
        pieces.so_far()
    words = whole.finish()
    assert pieces.finish() == words
    assert all(word.start < word.end for word in words)
    assert all(one.end <= two.start for one, two in itertools.pairwise(words))


def test_a_mark_whose_word_is_final_and_said_is_no_word() -> None:
    writer = Writer(VOCABULARY)
    writer.hear([PIECES.index("▁the")], [2], [0.5])
    assert [word.text for word in writer.finish()] == ["the"]
    writer.hear([PIECES.index(".")], [4], [0.5])
    assert writer.finish() == []
    writer.hear([PIECES.index("▁mat")], [6], [0.5])
    assert [word.text for word in writer.finish()] == ["mat"]


def test_what_goes_on_with_a_final_word_after_a_pause_is_no_word() -> None:
    """A model may add a letter in the silence that ends a stream. Without a pause it is better kept."""
    for frame, expected in ((3 + SOON_FRAMES, ["s"]), (4 + SOON_FRAMES, [])):
        writer = Writer(VOCABULARY)
        writer.hear([PIECES.index("▁mat")], [3], [0.5])
        assert [word.text for word in writer.finish()] == ["mat"]
        writer.hear([PIECES.index("s")], [frame], [0.5])
        assert [word.text for word in writer.finish()] == expected
