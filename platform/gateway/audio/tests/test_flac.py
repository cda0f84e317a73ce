from __future__ import annotations

import numpy as np
import pytest

from gateway.audio.base import MAX_PIECE_BYTES, AudioFormat
from gateway.audio.flac import Flac, frame_header
from gateway.audio.tests.sounds import decoded, encode, every, sweep
from gateway.errors import BadAudio


def flac(rate: int = 16_000, seconds: float = 0.6, channels: int = 1) -> bytes:
    return encode("flac", "flac", rate, sweep(rate, seconds, channels))


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("size", [1, 5, 100, 1_000, 10**9])
def test_it_is_lossless(channels, size):
    form = AudioFormat("flac", 16_000, channels, channels)
    heard, milliseconds = decoded(form, every(flac(channels=channels), size))
    assert all(np.array_equal(heard[c], sweep(16_000, 0.6, channels)[:, c]) for c in range(channels))
    assert milliseconds == 600


def test_a_frame_is_given_when_its_last_byte_is_there():
    data = flac(seconds=1.0)
    starts = [at for at in range(len(data)) if frame_header(data[at : at + 16])]
    audio = Flac(1)
    heard = [sum(len(lane) // 2 for (lane,) in audio.feed(data[: starts[1]]))]
    for start, end in zip(starts[1:], [*starts[2:], len(data)], strict=True):
        assert list(audio.feed(data[start : end - 1])) == []
        heard.append(sum(len(lane) // 2 for (lane,) in audio.feed(data[end - 1 : end])))
    assert sum(heard) == 16_000
    assert min(heard) > 0


def test_one_may_follow_another():
    for size in (7, 333, 10**9):
        (lane,), milliseconds = decoded(AudioFormat(None), every(flac() + flac(8_000), size))
        assert np.array_equal(lane[:9_600], sweep(16_000)[:, 0])
        assert abs(len(lane) - 19_200) <= 1
        assert milliseconds == 1200


def test_a_damaged_frame_costs_itself_and_no_other():
    data = bytearray(flac(seconds=1.0))
    data[-2_000] ^= 0xFF
    (lane,), _ = decoded(AudioFormat("flac"), every(bytes(data), 100))
    assert 16_000 - 2 * 1_152 <= len(lane) < 16_000
    assert np.array_equal(lane[-500:], sweep(16_000, 1.0)[-500:, 0])


def test_hours_in_a_few_bytes_come_piece_by_piece():
    hour = encode("flac", "flac", 16_000, np.zeros((16_000 * 600, 1), np.int16))
    assert len(hour) < 150_000
    audio = Flac(1)
    pieces = audio.feed(hour)
    assert 0 < len(next(pieces)[0]) <= MAX_PIECE_BYTES
    assert audio.input_ms < 1_000
    assert not audio.quick(10)
    audio.close()


@pytest.mark.parametrize("rest", [b"\x84\x00\x00\x04abcd", b"\x00\x00\x00\x10" + bytes(40)])
def test_a_header_without_its_first_part_is_refused(rest):
    with pytest.raises(BadAudio, match="STREAMINFO"):
        decoded(AudioFormat("flac"), [b"fLaC" + rest])


def test_bytes_that_never_become_a_frame_are_not_kept():
    data = flac()
    first = next(at for at in range(len(data)) if frame_header(data[at : at + 16]))
    with pytest.raises(BadAudio, match="No FLAC frame ends where one should"):
        decoded(AudioFormat("flac"), [data[: first + 50], *[b"\x00" * 2**18] * 10])
