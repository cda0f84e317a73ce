from __future__ import annotations

import struct
import time

import numpy as np
import pytest

from gateway.audio.base import AudioFormat
from gateway.audio.tests.sounds import decoded, encode, every, likeness, sweep
from gateway.errors import BadAudio

FORM = AudioFormat(None)


def wav(samples: np.ndarray, rate: int = 16_000, *, size: int | None = None, before: bytes = b"") -> bytes:
    data = samples.astype("<i2").tobytes()
    size = len(data) if size is None else size
    channels = samples.shape[1]
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, rate * channels * 2, channels * 2, 16)
    riff = struct.pack("<4sI4s", b"RIFF", min(size + 36, 2**32 - 1), b"WAVE")
    return riff + before + form + struct.pack("<4sI", b"data", size) + data


@pytest.mark.parametrize("size", [None, 0, 0xFFFF_FFFF, 0x7FFF_FFFF, 0x7FFF_F000])
def test_a_writer_that_streams_need_not_know_the_size(size):
    samples = sweep(16_000)
    for parts in ([wav(samples, size=size)], every(wav(samples, size=size), 77)):
        (lane,), milliseconds = decoded(FORM, parts)
        assert np.array_equal(lane, samples[:, 0])
        assert milliseconds == 600


@pytest.mark.parametrize(
    ("codec", "least"),
    [
        ("pcm_u8", 0.999),
        ("pcm_s16le", 1.0),
        ("pcm_s24le", 1.0),
        ("pcm_s32le", 1.0),
        ("pcm_f32le", 1.0),
        ("pcm_f64le", 1.0),
        ("pcm_mulaw", 0.999),
        ("pcm_alaw", 0.999),
        ("adpcm_ms", 0.98),
        ("adpcm_ima_wav", 0.98),
    ],
)
def test_every_kind_of_sample(codec, least):
    samples = sweep(16_000)
    (lane,), milliseconds = decoded(FORM, every(encode("wav", codec, 16_000, samples), 500))
    if least == 1.0:
        assert np.array_equal(lane, samples[:, 0])
    assert likeness(lane, samples[:, 0]) >= least - 1e-9
    assert 600 <= milliseconds < 700  # the last block of ADPCM is filled up


def test_an_extensible_header_with_six_channels():
    samples = sweep(16_000, 0.3, 6)
    heard, _ = decoded(AudioFormat(None, 16_000, 6, 6), [encode("wav", "pcm_s16le", 16_000, samples)])
    assert all(np.array_equal(heard[lane], samples[:, lane]) for lane in range(6))


def test_one_may_follow_another_with_another_rate():
    first, second = sweep(8_000), sweep(16_000, 0.4)
    stream = wav(first, 8_000) + b"LIST\x05\x00\x00\x00abcde\x00" + wav(second)
    for parts in ([stream], every(stream, 13)):
        (lane,), milliseconds = decoded(FORM, parts)
        assert np.array_equal(lane[-6_400:], second[:, 0])
        assert milliseconds == 1000


def test_samples_go_on_where_the_size_was_too_small():
    samples = sweep(16_000)
    for size in (100, 4_000):
        (lane,), _ = decoded(FORM, every(wav(samples, size=size), 50))
        assert np.array_equal(lane, samples[:, 0])


def test_notes_before_the_samples_are_passed_over():
    samples = sweep(16_000)
    note = struct.pack("<4sI", b"JUNK", 70_001) + bytes(70_002)
    (lane,), _ = decoded(FORM, every(wav(samples, before=note), 999))
    assert np.array_equal(lane, samples[:, 0])


def test_empty_notes_cost_no_more_the_more_there_are():
    """A quarter of a minute of work, if each piece had all before it read again, or copied."""
    samples, notes = sweep(16_000), struct.pack("<4sI", b"JUNK", 0) * 2**17
    began = time.process_time()
    heard = [
        decoded(FORM, every(wav(samples, before=notes[: 2**16]), 8))[0][0],
        decoded(FORM, [wav(samples) + notes[: 2**20 - 2**15]])[0][0],
    ]
    assert time.process_time() - began < 4
    assert all(np.array_equal(lane, samples[:, 0]) for lane in heard)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (wav(sweep(16_000), before=struct.pack("<4sI", b"JUNK", 2**31) + bytes(2**20)), "longer than"),
        (b"RIFF\x00\x00\x00\x00WAVEdata\x00\x00\x00\x00" + bytes(64), "does not say the format"),
        (wav(sweep(16_000))[:30], "ends within its WAV header"),
        (wav(sweep(16_000), 1), "at 1 Hz"),
        (wav(sweep(16_000, 0.1, 6).reshape(-1, 12)), "12 channels"),
    ],
    ids=["endless", "no format", "cut off", "1 Hz", "12 channels"],
)
def test_a_header_that_makes_no_sense_is_named(data, sentence):
    with pytest.raises(BadAudio, match=sentence):
        decoded(FORM, [data])


def test_channels_that_are_not_as_said_are_refused_with_both_numbers():
    with pytest.raises(BadAudio, match="has 1 channels where channels=2"):
        decoded(AudioFormat(None, 16_000, 2, 2), [wav(sweep(16_000))])
