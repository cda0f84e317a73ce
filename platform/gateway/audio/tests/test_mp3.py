from __future__ import annotations

import numpy as np
import pytest

from gateway.audio.base import AudioFormat
from gateway.audio.container import Container
from gateway.audio.mp3 import Mp3, encoder_delay
from gateway.audio.tests.sounds import decoded, encode, every, likeness, pieces_of, sweep
from gateway.errors import BadAudio


def mp3(rate: int = 16_000, channels: int = 1, **options: str) -> bytes:
    return encode("mp3", "libmp3lame", rate, sweep(rate, 0.6, channels), **options)


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_it_is_heard_where_it_was(rate, channels):
    form = AudioFormat("mp3", rate, channels, channels)
    heard, milliseconds = decoded(form, every(mp3(rate, channels), 100))
    for lane in range(channels):
        assert likeness(heard[lane], sweep(16_000, 0.6, channels)[:, lane]) > 0.99
    assert 600 <= milliseconds < 800  # an encoder fills up its last frame


@pytest.mark.parametrize("size", [1, 100, 10**9])
def test_it_gives_exactly_what_libav_makes_of_it(size):
    data = mp3(44_100, 2, id3v2_version="0")
    audio, reference = Mp3(1), Container("mp3", 1)
    ours = [lane for (lane,) in pieces_of(audio, every(data, size))]
    libavs = [lane for (lane,) in pieces_of(reference, [data])]
    reference.close()
    assert b"".join(ours) == b"".join(libavs)
    assert audio.input_ms == reference.input_ms


def test_a_frame_is_given_as_soon_as_it_is_whole():
    data = mp3(16_000, id3v2_version="0", write_xing="0")
    frames = [at for at in range(len(data) - 1) if data[at : at + 2] == b"\xff\xf3"]
    audio, heard = Mp3(1), 0
    for count, (start, end) in enumerate(zip(frames, [*frames[1:], len(data)], strict=True)):
        heard += sum(len(lane) // 2 for (lane,) in audio.feed(data[start:end]))
        assert heard >= (count - 1) * 576


def test_the_notes_in_the_first_frame_say_what_to_leave_out():
    assert encoder_delay(mp3(44_100, 2, id3v2_version="0")[:500]) == 1_105
    assert encoder_delay(mp3(16_000, id3v2_version="0")[:300]) == 1_105
    assert encoder_delay(mp3(16_000, id3v2_version="0", write_xing="0")[:300]) is None
    assert encoder_delay(b"") is None


@pytest.mark.parametrize("tag", [b"", b"ID3\x03\x00\x00\x00\x04\x00\x00" + bytes(65_536)])
def test_a_picture_in_front_is_skipped(tag):
    expected, _ = decoded(AudioFormat("mp3"), [mp3(id3v2_version="0")])
    for encoding in ("mp3", None):
        heard, _ = decoded(AudioFormat(encoding), every(tag + mp3(id3v2_version="0"), 1_000))
        assert np.array_equal(heard[0], expected[0])


def test_it_may_be_joined_in_the_middle():
    data = mp3(16_000)
    heard, _ = decoded(AudioFormat("mp3"), every(data[len(data) // 2 :], 100))
    assert len(heard[0]) > 2_000


def test_it_may_change_its_rate():
    heard, milliseconds = decoded(AudioFormat("mp3"), [mp3(48_000) + mp3(16_000, id3v2_version="0")])
    assert likeness(heard[0][:9_600], sweep(16_000)[:, 0]) > 0.99
    assert milliseconds > 1_200


def test_bytes_without_a_frame_in_them_are_refused_in_the_end():
    with pytest.raises(BadAudio, match=r"without any audio|damaged"):
        decoded(AudioFormat("mp3"), [mp3()] + [b"\x00" * 2**20] * 9)


def test_a_little_is_quick_and_much_is_not():
    assert Mp3(1).quick(160)
    assert not Mp3(1).quick(4_000)
