from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from gateway.rejoin import NEAR_MS, REMEMBERED_WORDS, Rejoin
from wire.messages import Word

WORD_MS, PACE_MS = 260, 320


def spoken(text: str, start_ms: int = 0) -> tuple[Word, ...]:
    """A word every PACE_MS."""
    at = [start_ms + PACE_MS * number for number in range(len(text.split()))]
    return tuple(Word(one, ms, ms + WORD_MS, 0.9) for one, ms in zip(text.split(), at, strict=True))


def texts(words: Sequence[Word]) -> str:
    return " ".join(word.text for word in words)


def shifted(words: Sequence[Word], ms: int) -> tuple[Word, ...]:
    return tuple(Word(word.text, max(0, word.start_ms + ms), max(0, word.end_ms + ms), 0.5) for word in words)


def joined(words: Sequence[Word], said: int) -> Rejoin:
    """Of a lane that has said so many of them."""
    boundary = words[said - 1].end_ms if said else 0
    return Rejoin(boundary, [word.text for word in words[:said]][-REMEMBERED_WORDS:])


def new_of(rejoin: Rejoin, *finals: Sequence[Word]) -> list[Word]:
    """Of all of them, one after the other."""
    new: list[Word] = []
    for final in finals:
        new += rejoin.new_in(final)
        rejoin.remember(final)
    return new


def test_what_ended_before_the_boundary_has_been_said() -> None:
    words = spoken("every second is billed once")
    assert texts(joined(words, 3).new_in(words)) == "billed once"


def test_nothing_said_is_all_new_and_all_said_is_nothing_new() -> None:
    words = spoken("every second is billed once")
    assert joined(words, 0).new_in(words) == words
    assert joined(words, 5).new_in(words) == ()
    assert joined(words, 5).new_in(()) == ()


def test_a_word_across_the_boundary_goes_to_the_side_of_its_middle() -> None:
    word = (Word("cat", 900, 1200, 0.9),)
    assert texts(Rejoin(1_000, []).new_in(word)) == "cat"
    assert Rejoin(1_100, []).new_in(word) == ()


def test_none_begins_before_the_boundary() -> None:
    (word,) = Rejoin(1_000, []).new_in((Word("cat", 900, 1200, 0.9),))
    assert (word.start_ms, word.end_ms) == (1_000, 1_200)
    words = spoken("the cat sat")
    early = shifted(words[2:], -300)  # and by its neighbours' texts it has not been said
    (word,) = joined(words, 2).new_in((*words[:2], *early))
    assert word.text == "sat"
    assert word.start_ms == words[1].end_ms <= word.end_ms


def test_neighbours_say_that_a_late_word_has_been_said() -> None:
    words = spoken("the cat sat on the mat")
    late = (*words[:2], *shifted(words[2:], 240))  # its middle is past the boundary now
    assert texts(joined(words, 3).new_in(late)) == "on the mat"


def test_neighbours_say_that_an_early_word_is_new() -> None:
    words = spoken("the cat sat on the mat")
    assert texts(joined(words, 3).new_in(shifted(words, -240))) == "on the mat"


def test_a_word_that_was_misheard_is_told_by_those_before_it() -> None:
    said = spoken("we saw the cat and then we left")
    again = spoken("we saw the hat and then we left")
    late = (*again[:3], *shifted(again[3:], 240))
    assert texts(joined(said, 4).new_in(late)) == "and then we left"


def test_neighbours_that_were_misheard_leave_it_to_time() -> None:
    said = spoken("we saw the cat and then")
    again = spoken("he sore a hat and then")
    assert texts(joined(said, 4).new_in(again)) == "and then"


def test_the_same_word_again_and_again_is_counted_by_time() -> None:
    words = spoken("no no no no no no")
    for said in range(7):
        assert len(joined(words, said).new_in(words)) == 6 - said


def test_a_word_far_from_the_boundary_is_never_moved() -> None:
    said = spoken("yes")
    later = spoken("yes and yes", start_ms=WORD_MS + NEAR_MS + 200)
    assert texts(joined(said, 1).new_in(later)) == "yes and yes"


def test_the_next_word_is_not_taken_for_the_same_one_said_before() -> None:
    """A worker that begins at the boundary hears nothing of what was said."""
    assert texts(Rejoin(1_000, ["yes"]).new_in(spoken("yes sir", start_ms=1_040))) == "yes sir"


def test_finals_heard_again_count_as_neighbours() -> None:
    words = spoken("the cat sat on the mat")
    rejoin = joined(words, 3)
    rejoin.remember(words[:2])
    assert texts(rejoin.new_in(shifted(words[2:], 240))) == "on the mat"


def test_a_final_may_end_before_what_was_said_last() -> None:
    """Then what it ends with is not to be held against the last words said."""
    words = spoken("the yes the no no no a no the a no a")
    rejoin = joined(words, 11)
    new = new_of(rejoin, words[:9], words[9:10], words[10:])
    assert texts(new) == "a"


def test_after_something_new_a_word_that_was_said_before_is_new_too() -> None:
    words = spoken("yes no yes no")
    rejoin = joined(words, 2)
    again = (*words[:3], *shifted(words[3:], -100))
    new = new_of(rejoin, again[:2], again[2:3], again[3:])
    assert texts(new) == "yes no"


def test_punctuation_and_case_do_not_matter() -> None:
    said, again = spoken("We saw The cat. Then"), spoken("we saw the cat, then")
    late = (*again[:3], *shifted(again[3:], 240))
    assert texts(joined(said, 4).new_in(late)) == "then"


def test_which_finals_may_be_the_one_that_the_old_worker_was_at() -> None:
    rejoin = Rejoin(10_000, [])
    assert rejoin.reached_by(10_100)
    assert rejoin.reached_by(9_900)
    assert not rejoin.reached_by(9_000)
    assert not rejoin.passed_by(10_100)
    assert rejoin.passed_by(10_000 + NEAR_MS + 1)


UTTERANCES = st.lists(
    st.sampled_from(["no", "yes", "the", "a", "cat", "sat", "on", "mat"]), min_size=1, max_size=30
)


@given(utterance=UTTERANCES, data=st.data())
def test_wherever_it_is_cut_and_however_times_differ_no_word_is_lost_or_doubled(
    utterance: list[str], data: st.DataObject
) -> None:
    words = spoken(" ".join(utterance))
    said = data.draw(st.integers(0, len(words)), "said")
    first = data.draw(st.integers(0, said), "the first word heard again")
    jitter = st.integers(-(WORD_MS // 2) + 1, WORD_MS // 2 - 1)
    again = [
        Word(word.text, max(0, word.start_ms + shift), max(0, word.end_ms + shift), 0.5)
        for word, shift in zip(
            words[first:], data.draw(st.lists(jitter, min_size=30, max_size=30)), strict=False
        )
    ]
    # In finals of any size, as an engine may cut them otherwise than the one before.
    rejoin, new, at = joined(words, said), [], 0
    while at < len(again):
        size = data.draw(st.integers(1, 8), "words of a final")
        new += rejoin.new_in(again[at : at + size])
        rejoin.remember(again[at : at + size])
        at += size
    assert [word.text for word in new] == [word.text for word in words[said:]]
    assert all(word.start_ms >= rejoin.boundary_ms for word in new)
