from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.messages import SAMPLE_RATE
from wire.processed import most_samples, processed_ms


def test_only_whole_milliseconds_count() -> None:
    assert [processed_ms(samples, None) for samples in (0, 15, 16, 31, 16_000)] == [0, 0, 1, 1, 1000]


def test_never_more_than_the_client_sent() -> None:
    assert processed_ms(16_000, 999) == 999
    assert processed_ms(8_000, 999) == 500


@pytest.mark.parametrize("rounded", [-3, -1, 0, 1, 3])
def test_what_the_client_sent_is_exact_once_the_worker_has_ended_the_stream(rounded: int) -> None:
    assert processed_ms(16_000 + rounded, 1000, complete=True) == 1000


@given(st.integers(0, 10**9))
def test_one_sample_more_would_be_more_than_the_client_sent(input_ms: int) -> None:
    most = most_samples(input_ms)
    assert processed_ms(most, None) == input_ms
    assert processed_ms(most + 1, None) == input_ms + 1
    assert most <= (input_ms + 1) * SAMPLE_RATE // 1000
