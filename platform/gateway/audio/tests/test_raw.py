from __future__ import annotations

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.audio.base import AudioFormat
from gateway.audio.raw import _ALAW, _MULAW, SAMPLE_BYTES, Raw
from gateway.audio.tests.sounds import cut, decoded, likeness, sweep

TOLD = ["linear16", "linear32", "mulaw", "alaw"]


def raw(encoding: str, samples: np.ndarray) -> bytes:
    if encoding == "linear32":
        return (samples / 32_768).astype("<f4").tobytes()
    if encoding in ("mulaw", "alaw"):
        table = _MULAW if encoding == "mulaw" else _ALAW
        return np.abs(samples.reshape(-1, 1) - table).argmin(axis=1).astype(np.uint8).tobytes()
    return samples.astype("<i2").tobytes()


@pytest.mark.parametrize(("codec", "table"), [("pcm_mulaw", _MULAW), ("pcm_alaw", _ALAW)])
def test_the_tables_are_those_of_the_standard(codec, table):
    context = av.CodecContext.create(codec, "r")
    context.sample_rate, context.layout = 8000, "mono"
    (frame,) = context.decode(av.Packet(bytes(range(256))))
    assert np.array_equal(frame.to_ndarray()[0], table)


def test_what_the_wire_carries_is_not_touched():
    data = sweep(16_000).tobytes()
    (lane,), milliseconds = decoded(AudioFormat("linear16"), [data])
    assert lane.tobytes() == data
    assert milliseconds == 600


@pytest.mark.parametrize("encoding", TOLD)
@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
@pytest.mark.parametrize(("channels", "lanes"), [(1, 1), (2, 1), (2, 2), (8, 8)])
def test_every_shape_of_it_is_heard(encoding, rate, channels, lanes):
    samples = sweep(rate, 0.6, channels)
    heard, milliseconds = decoded(AudioFormat(encoding, rate, channels, lanes), [raw(encoding, samples)])
    expected = sweep(16_000, 0.6, channels)
    if lanes == 1:
        expected = expected.mean(axis=1, keepdims=True)
    for lane in range(lanes):
        assert likeness(heard[lane], expected[:, lane]) > 0.999
        assert abs(len(heard[lane]) - 9_600) <= 1
    assert milliseconds == 600


@pytest.mark.parametrize("encoding", TOLD)
@given(at=st.lists(st.integers(0, 100_000), max_size=12), rate=st.sampled_from([8_000, 16_000, 24_000]))
def test_no_border_matters(encoding, at, rate):
    data = raw(encoding, sweep(rate, 0.1, 2)) + b"\x01"  # and less than a sample at the end
    form = AudioFormat(encoding, rate, 2, 2)
    whole, milliseconds = decoded(form, [data])
    parts, the_same = decoded(form, cut(data, at))
    assert all(map(np.array_equal, whole, parts))
    assert milliseconds == the_same == 100


@given(st.binary(max_size=400), st.sampled_from(sorted(SAMPLE_BYTES)), st.integers(1, 8))
def test_any_bytes_are_samples(data, encoding, channels):
    audio = Raw(encoding, 8_000, channels, 1)
    pieces = [piece for (piece,) in [*audio.feed(data), *audio.finish()]]
    frames = len(data) // (SAMPLE_BYTES[encoding] * channels)
    assert abs(len(b"".join(pieces)) // 2 - frames * 2) <= 1
    assert audio.input_ms == frames * 1000 // 8_000


def test_one_sample_that_is_no_number_does_not_spoil_the_rest():
    samples = sweep(48_000)
    floats = (samples / 32_768).astype("<f4")
    floats[100:110] = [[np.nan], [np.inf]] * 5
    (lane,), _ = decoded(AudioFormat("linear32", 48_000), [floats.tobytes()])
    assert likeness(lane[400:], sweep(16_000)[400:, 0]) > 0.999


def test_a_frame_of_ordinary_size_is_quick_and_a_long_one_is_not():
    audio = Raw("mulaw", 8_000, 1, 1)
    assert audio.quick(160)
    assert audio.quick(1_600)
    assert not audio.quick(16_000)
    assert Raw("linear16", 16_000, 1, 1).quick(64_000)
