from __future__ import annotations

import numpy as np
import pytest

from stenogate import rate
from stenogate.errors import InputError


def tone(hertz: float, sample_rate: int, seconds: float = 0.5) -> np.ndarray:
    return np.sin(np.arange(int(sample_rate * seconds)) * 2 * np.pi * hertz / sample_rate).astype(np.float32)


@pytest.mark.parametrize(
    ("sample_rate", "factor"),
    [(8000, 1), (16000, 1), (44100, 1), (48000, 1), (88200, 2), (96000, 2), (176400, 4), (192000, 4)],
)
def test_rates_are_kept_or_divided(sample_rate: int, factor: int) -> None:
    assert rate.factor_for(sample_rate) == factor


@pytest.mark.parametrize("sample_rate", [0, 4000, 7999, 50021, 4_000_000_000])
def test_rates_that_cannot_be_sent_are_refused(sample_rate: int) -> None:
    with pytest.raises(InputError, match=f"{sample_rate} samples a second"):
        rate.factor_for(sample_rate)


@pytest.mark.parametrize("block", [1, 97, 4800, 48000])
def test_speech_passes_at_the_same_place_whatever_the_blocks(block: int) -> None:
    wide = tone(1000, 96000)
    pieces = [wide[i : i + block] for i in range(0, len(wide), block)]
    out = np.concatenate(list(rate.divide(pieces, 2)))
    expected = tone(1000, 48000)
    assert len(out) == len(expected)
    assert np.abs(out - expected)[100:-100].max() < 0.001


def test_what_would_fold_back_is_removed() -> None:
    out = np.concatenate(list(rate.divide([tone(30000, 96000)], 2)))
    assert np.abs(out)[100:-100].max() < 0.001


def test_nothing_in_nothing_out() -> None:
    assert sum(len(b) for b in rate.divide([], 2)) == 0
