"""What all decoders have in common, whatever they decode."""

from __future__ import annotations

import random
import threading
import time
from contextlib import suppress
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.audio.base import AudioFormat
from gateway.audio.decoders import decoder
from gateway.audio.encodings import ENCODINGS, Kind
from gateway.audio.tests.sounds import cut, damaged, decoded, encode, every, likeness, sweep
from gateway.audio.tests.test_wav import wav
from gateway.errors import BadAudio

# What is sent, under which name, and as which container and codec it is made.
STREAMS = {
    "ogg-opus": ("ogg", "libopus", 48_000),
    "webm-opus": ("webm", "libopus", 48_000),
    "flac": ("flac", "flac", 44_100),
    "mp3": ("mp3", "libmp3lame", 24_000),
    "wav": ("wav", "pcm_s24le", 8_000),
    "aac": ("adts", "aac", 16_000),
    "amr-nb": ("amr", "libopencore_amrnb", 8_000),
    "mulaw in wav": ("wav", "pcm_mulaw", 8_000),
    "adpcm in wav": ("wav", "adpcm_ima_wav", 16_000),
    "aac in mp4": ("mp4", "aac", 44_100),
    "alac in mp4": ("mp4", "alac", 16_000),
    "flac in matroska": ("matroska", "flac", 16_000),
    "mp2 in mpegts": ("mpegts", "mp2", 16_000),
    "aac in flv": ("flv", "aac", 44_100),
    "aiff": ("aiff", "pcm_s16be", 16_000),
    "au": ("au", "pcm_s16be", 16_000),
    "caf": ("caf", "pcm_s16le", 16_000),
}
LOSSLESS = {"wav": 24, "alac in mp4": 16, "flac in matroska": 16, "aiff": 16, "au": 16, "caf": 16}


@cache
def stream(name: str) -> bytes:
    container, codec, rate = STREAMS[name]
    options = {"movflags": "frag_every_frame+empty_moov+default_base_moof"} if container == "mp4" else {}
    return encode(container, codec, rate, sweep(rate, 0.4), **options)


@pytest.fixture(autouse=True)
def nothing_is_left(capfd):
    yield
    for thread in threading.enumerate():
        if thread.name == "container":
            thread.join(10)
    assert not [thread for thread in threading.enumerate() if thread.name == "container"]
    assert capfd.readouterr().err == "", "a library spoke to the terminal"


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_is_recognised_and_heard(name):
    (lane,), milliseconds = decoded(AudioFormat(None), every(stream(name), 777))
    expected = sweep(16_000, 0.4)[:, 0]
    best = max(likeness(lane[shift:], expected) for shift in range(2_400)) if len(lane) > 2_400 else 0
    assert max(best, likeness(lane, expected)) > 0.93
    assert 399 <= milliseconds <= 560
    if LOSSLESS.get(name) == 16:
        assert np.array_equal(lane, expected)


@pytest.mark.parametrize("name", [name for name in STREAMS if name in ENCODINGS])
def test_its_name_may_be_said(name):
    said, _ = decoded(AudioFormat(name), [stream(name)])
    unsaid, _ = decoded(AudioFormat(None), [stream(name)])
    assert np.array_equal(said[0], unsaid[0])


@pytest.mark.parametrize("name", STREAMS)
@given(at=st.lists(st.integers(0, 10**6), max_size=10))
@settings(max_examples=20, deadline=None)
def test_no_border_matters(name, at):
    whole, milliseconds = decoded(AudioFormat(None), [stream(name)])
    parts, the_same = decoded(AudioFormat(None), cut(stream(name), at))
    assert np.array_equal(whole[0], parts[0])
    assert milliseconds == the_same


@pytest.mark.parametrize("name", STREAMS)
def test_damaged_bytes_are_samples_or_a_refusal(name):
    chance = random.Random(name)
    refused = 0
    for _ in range(120):
        form = AudioFormat(chance.choice([None, name if name in ENCODINGS else None]), 16_000, 1, 1)
        try:
            decoded(form, every(damaged(stream(name), chance), chance.choice([50, 1_000, 10**6])))
        except BadAudio:
            refused += 1
    assert refused < 120


@pytest.mark.parametrize("encoding", [*ENCODINGS, None])
def test_random_bytes_are_samples_or_a_refusal(encoding):
    chance = random.Random(str(encoding))
    starts = [
        b"",
        b"",
        stream("ogg-opus")[:60],
        stream("webm-opus")[:200],
        stream("aac in mp4")[:700],
        b"ID3\x04",
    ]
    for _ in range(120):
        data = chance.choice(starts) + chance.randbytes(chance.choice([0, 1, 3, 50, 5_000]))
        lanes = chance.choice([1, 2])
        with suppress(BadAudio):
            decoded(AudioFormat(encoding, 8_000, lanes, lanes), every(data, chance.choice([1_000, 10**6])))


@pytest.mark.parametrize(
    "data", [bytes(1_000), b"#EXTM3U\n" + b" " * 300, b"hello", b"RIFFxxxxWEBP" + bytes(300)]
)
def test_what_is_not_known_is_refused_with_what_to_say(data):
    with pytest.raises(BadAudio, match="give encoding and sample_rate"):
        decoded(AudioFormat(None), every(data, 100))


def test_nothing_at_all_is_no_error():
    for encoding in [*ENCODINGS, None]:
        assert decoded(AudioFormat(encoding), [])[1] == 0
        assert decoded(AudioFormat(encoding), [b"", b""])[1] == 0


@pytest.mark.parametrize("encoding", ["linear16", "mulaw", "opus", "mp3", None])
def test_a_wav_is_read_as_the_wav_it_is_whatever_it_was_called(encoding):
    samples = sweep(16_000)
    for parts in ([wav(samples)], every(wav(samples), 3)[:0] + every(wav(samples), 700)):
        (lane,), milliseconds = decoded(AudioFormat(encoding, 8_000), parts)
        assert np.array_equal(lane, samples[:, 0])
        assert milliseconds == 600


def test_tags_without_end_are_not_looked_through():
    """Ten bytes each: a few messages of them would be many seconds of work."""
    began = time.process_time()
    assert decoded(AudioFormat(None), [(b"ID3\x04" + bytes(6)) * 300_000])[1] == 0
    assert time.process_time() - began < 3


def test_samples_that_begin_like_a_wav_are_samples():
    for start in (b"RIFF", b"RI", b"RIFFxxxxWAVF"):
        data = start + bytes(100)
        (lane,), _ = decoded(AudioFormat("linear16"), every(data, 1))
        assert lane.tobytes() == data[: len(data) // 2 * 2]


def test_only_samples_and_packets_are_quick_and_only_once_they_are_known():
    for name, encoding in ENCODINGS.items():
        audio = decoder(AudioFormat(name))
        assert not audio.quick(160)
        with_start = bytes(20) if encoding.kind is not Kind.STREAM else b""
        list(audio.feed(with_start))
        assert audio.quick(160) == (encoding.kind is not Kind.STREAM)
        audio.close()


@pytest.mark.parametrize("encoding", ["amr-nb", "amr-wb", "g729"])
def test_bare_frames_need_no_header(encoding):
    if encoding == "amr-nb":
        frames = stream("amr-nb")[len("#!AMR\n") :]
    elif encoding == "amr-wb":
        frames = bytes([0x24, *range(60)]) * 20  # 23.85 kbit/s, of anything
    else:
        frames = bytes(range(200))
    (lane,), milliseconds = decoded(AudioFormat(encoding), every(frames, 33))
    assert len(lane) > 3_000
    assert milliseconds >= 195


def test_the_table_of_encodings_has_what_deepgrams_has():
    assert set(ENCODINGS) >= set(
        "linear16 linear32 flac alaw mulaw amr-nb amr-wb opus ogg-opus speex g729".split()  # noqa: SIM905
    )
    assert all(encoding.about for encoding in ENCODINGS.values())
