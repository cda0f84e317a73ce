from __future__ import annotations

import numpy as np
import pytest

from gateway.audio.base import MAX_PIECE_BYTES
from gateway.audio.shaper import Shaper, from_unit
from gateway.audio.tests.sounds import likeness, sweep
from gateway.errors import BadAudio


def shaped(shaper: Shaper, blocks, rate: int) -> list[np.ndarray]:
    pieces = [piece for block in blocks for piece in shaper.take(block, rate)] + list(shaper.finish())
    lanes = len(pieces[0])
    return [np.frombuffer(b"".join(piece[lane] for piece in pieces), "<i2") for lane in range(lanes)]


@pytest.mark.parametrize("rate", [4_000, 8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 192_000])
def test_any_rate_becomes_the_wires(rate):
    (lane,) = shaped(shaper := Shaper(1), [sweep(rate, 1.0).astype(np.float32)], rate)
    assert abs(len(lane) - 16_000) <= 1
    # Half a sample late, at 4,000 Hz, is within a hundredth of being the same.
    assert likeness(lane, sweep(16_000, 1.0)[:, 0]) > (0.98 if rate < 8_000 else 0.998)
    assert shaper.input_ms == 1000


def test_telephone_audio_is_not_held_back():
    samples = sweep(8_000, 1.0).astype(np.float32)
    shaper, heard = Shaper(1), 0
    for at in range(0, len(samples), 160):
        heard += sum(len(lane) // 2 for (lane,) in shaper.take(samples[at : at + 160], 8_000))
        assert heard >= (at + 160) * 2 - 16 * 31


def test_blocks_of_any_size_give_the_same_samples():
    samples = sweep(44_100, 1.0, 2).astype(np.float32)
    whole = shaped(Shaper(2), [samples], 44_100)
    for size in (1, 7, 441, 30_000):
        parts = [samples[at : at + size] for at in range(0, len(samples), size)]
        assert all(map(np.array_equal, whole, shaped(Shaper(2), parts, 44_100)))


def test_channels_are_averaged_or_kept_apart():
    samples = np.array([[100, 300, -50], [7, 8, 9]], np.float32)
    assert [lane.tolist() for lane in shaped(Shaper(3), [samples], 16_000)] == [[100, 7], [300, 8], [-50, 9]]
    assert [lane.tolist() for lane in shaped(Shaper(1), [samples], 16_000)] == [[117, 8]]


def test_another_number_of_channels_than_was_said_is_refused_with_both():
    with pytest.raises(BadAudio, match="It has 2 channels where channels=3 was said"):
        list(Shaper(3).take(np.zeros((10, 2), np.float32), 16_000))
    with pytest.raises(BadAudio, match="9 channels; at most 8"):
        list(Shaper(1).take(np.zeros((10, 9), np.float32), 16_000))


@pytest.mark.parametrize("rate", [1, 3_999, 192_001])
def test_a_rate_that_nobody_means_is_refused(rate):
    with pytest.raises(BadAudio, match=f"sample rate is {rate}; 4000 to 192000"):
        list(Shaper(1).take(np.zeros((10, 1), np.float32), rate))


def test_a_change_of_rate_keeps_what_came_before():
    shaper = Shaper(1)
    pieces = [*shaper.take(sweep(8_000, 1.0).astype(np.float32), 8_000)]
    pieces += [*shaper.take(sweep(44_100, 0.5).astype(np.float32), 44_100), *shaper.finish()]
    assert abs(sum(len(lane) for (lane,) in pieces) // 2 - 24_000) <= 2
    assert shaper.input_ms == 1500


def test_a_long_block_comes_in_pieces():
    pieces = list(Shaper(1).take(np.zeros((4_000 * 60, 1), np.float32), 4_000))
    assert len(pieces) >= 120
    assert all(len(lane) <= MAX_PIECE_BYTES for (lane,) in pieces)


def test_floats_that_are_no_numbers_are_silence_and_loud_ones_are_cut():
    strange = np.array([np.nan, np.inf, -np.inf, 1e30, -7.0, 0.5], np.float32)
    assert from_unit(strange).tolist() == [0, 0, 0, 32_768, -32_768, 16_384]
    (lane,) = shaped(Shaper(1), [from_unit(strange)[:, np.newaxis]], 16_000)
    assert lane.tolist() == [0, 0, 0, 32_767, -32_768, 16_384]
