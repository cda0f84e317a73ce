"""What a session remembers of what it has said."""

from __future__ import annotations

from gateway.events import Transcript
from gateway.lane import Lane
from gateway.resume import state
from gateway.resume.memory import Memory, say_again
from gateway.resume.state import MAX_FINALS, MAX_FINALS_BYTES
from gateway.resume.tests.marks import told
from wire.messages import Word


def final(seq: int, words: int = 2) -> Transcript:
    return Transcript(
        seq=seq,
        words=tuple(Word("word", 0, 1, 0.5) for _ in range(words)),
        start_ms=1000 * seq,
        end_ms=1000 * seq + 900,
        is_final=True,
        speech_final=True,
        billed_ms=seq,
    )


def test_a_final_says_how_far_the_stream_is_with_it() -> None:
    lane = Lane("s")
    said = Memory((lane,)).tell(lane, final(4))
    assert said.mark is not None
    assert (said.mark.next_seq, said.mark.lanes[0].told_ms) == (5, 4900)


def test_what_is_said_again_is_what_was_said() -> None:
    lane = Lane("s")
    memory = Memory((lane,))
    said = memory.tell(lane, final(0))
    (kept,) = memory.record(1, 0).finals
    again = say_again(kept)
    assert again.mark is None
    assert again == final(0) != said


def test_the_finals_said_last_are_kept_and_no_more_than_so_many() -> None:
    lane = Lane("s")
    memory = Memory((lane,), [told(0), told(1)])
    for seq in range(2, MAX_FINALS + 10):
        memory.tell(lane, final(seq))
    kept = [one.seq for one in memory.record(MAX_FINALS + 10, 0).finals]
    assert kept == list(range(10, MAX_FINALS + 10))


def test_they_are_never_larger_than_so_much_but_for_the_last() -> None:
    lane = Lane("s")
    memory = Memory((lane,))
    for seq in range(20):
        memory.tell(lane, final(seq, words=400))
        finals = memory.record(seq + 1, 0).finals
        assert sum(len(state.encode(one)) for one in finals) <= MAX_FINALS_BYTES
        assert finals[-1].seq == seq
    assert 1 < len(finals) < 20
    memory.tell(lane, final(20, words=10_000))
    assert [one.seq for one in memory.record(21, 0).finals] == [20]
