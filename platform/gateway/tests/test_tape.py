from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gateway.tape import FORGET_BYTES, Tape


def pcm(start: int, samples: int) -> bytes:
    """Each sample tells its position."""
    return np.arange(start, start + samples).astype("<u2").tobytes()


def test_what_is_appended_can_be_read_wherever_it_begins() -> None:
    tape = Tape(1000)
    tape.append(pcm(1000, 30))
    tape.append(pcm(1030, 5))
    assert (tape.start, tape.end) == (1000, 1035)
    assert tape.read(1028, 1033) == pcm(1028, 5)
    assert tape.read(1000, 1000) == b""


def test_it_forgets_some_seconds_at_a_time() -> None:
    tape = Tape()
    most = FORGET_BYTES // 2
    tape.append(pcm(0, 2 * most))
    tape.forget_before(most - 1)
    assert tape.start == 0
    tape.forget_before(most)
    assert tape.start == most
    assert tape.read(most, most + 3) == pcm(most, 3)


def test_it_cannot_forget_what_it_has_not_heard_nor_what_it_has_forgotten() -> None:
    tape = Tape()
    tape.append(pcm(0, FORGET_BYTES))
    tape.forget_before(10 * FORGET_BYTES)
    assert (tape.start, tape.end) == (FORGET_BYTES, FORGET_BYTES)
    tape.forget_before(0)
    tape.append(pcm(FORGET_BYTES, 2))
    assert tape.read(FORGET_BYTES, FORGET_BYTES + 2) == pcm(FORGET_BYTES, 2)


def test_what_comes_after_a_cut_never_was() -> None:
    tape = Tape(100)
    tape.append(pcm(100, 50))
    tape.cut(120)
    tape.append(pcm(7, 3))
    assert (tape.end, tape.size) == (123, 46)
    assert tape.read(119, 123) == pcm(119, 1) + pcm(7, 3)
    tape.cut(50)
    assert (tape.start, tape.end) == (100, 100)


@given(
    st.lists(st.tuples(st.sampled_from(["append", "forget"]), st.integers(0, 60_000)), max_size=12),
    st.integers(0, 100_000),
)
def test_what_is_kept_is_the_end_of_what_was_said(steps: list[tuple[str, int]], start: int) -> None:
    tape, end, forgotten = Tape(start), start, start
    for what, samples in steps:
        if what == "append":
            tape.append(pcm(end, samples))
            end += samples
        else:
            forgotten = max(forgotten, min(start + samples, end))
            tape.forget_before(start + samples)
        assert tape.end == end
        assert start <= tape.start <= forgotten
        assert forgotten - tape.start < FORGET_BYTES // 2
    assert tape.read(tape.start, end) == pcm(tape.start, end - tape.start)
