from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_worker.engines.tape import ROOM, Tape


def ramp(begin: int, end: int) -> np.ndarray:
    return np.arange(begin, end).astype(np.float32)


@given(st.lists(st.tuples(st.integers(0, 3 * ROOM), st.floats(0, 1.2)), max_size=30), st.integers(0, 1000))
def test_it_gives_back_what_it_was_given(parts: list[tuple[int, float]], start: int) -> None:
    tape = Tape(start)
    for length, share in parts:
        tape.add(ramp(tape.end, tape.end + length))
        tape.forget_before(tape.begin + int(share * (tape.end - tape.begin)))
        assert np.array_equal(tape.read(tape.begin, tape.end), ramp(tape.begin, tape.end))


def test_it_does_not_grow_while_it_forgets() -> None:
    tape = Tape(0)
    for _ in range(1000):
        tape.add(np.zeros(1536, np.float32))
        tape.forget_before(tape.end - 8000)
    assert len(tape._buffer) <= 4 * ROOM


def test_what_is_gone_or_not_there_yet_cannot_be_read() -> None:
    tape = Tape(100)
    tape.add(np.zeros(50, np.float32))
    for begin, end in ((99, 120), (120, 151), (130, 120)):
        with pytest.raises(IndexError):
            tape.read(begin, end)
