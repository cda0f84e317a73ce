from __future__ import annotations

import numpy as np

from tests import spoken
from tests.benchmarks.endless import APART, Audio


def test_a_stream_goes_on_where_it_was_and_begins_again_at_the_end() -> None:
    whole = spoken.recording()
    audio, chunk = Audio(2560), 2560
    steps = len(whole) // chunk + 2
    heard = np.concatenate([audio.block(step, 3)[1] for step in range(steps)])
    expected = np.concatenate([whole, whole])[APART : APART + len(heard)]
    assert np.array_equal(heard, expected)


def test_streams_are_at_different_places() -> None:
    block = np.concatenate([Audio(2560).block(step, 128) for step in range(12)], 1)
    assert len({row.tobytes() for row in block}) == 128
