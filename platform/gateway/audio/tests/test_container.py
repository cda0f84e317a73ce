from __future__ import annotations

import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import pytest

from gateway.audio import container
from gateway.audio.base import MAX_PIECE_BYTES, AudioFormat
from gateway.audio.container import MAX_UNHEARD_BYTES, Container
from gateway.audio.decoders import decoder
from gateway.audio.tests.sounds import decoded, encode, every, likeness, pieces_of, sweep
from gateway.errors import BadAudio

LIVE_OGG = {"page_duration": "20000"}
LIVE_MP4 = {"movflags": "frag_every_frame+empty_moov+default_base_moof"}


def until(true, seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.005)
    return bool(true())


def threads() -> int:
    return sum(thread.name == "container" for thread in threading.enumerate())


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.fixture(autouse=True)
def nothing_is_left(capfd):
    yield
    assert until(lambda: threads() == 0)
    assert capfd.readouterr().err == "", "a library spoke to the terminal"


@pytest.mark.parametrize(
    ("demuxer", "data"),
    [
        ("ogg", encode("ogg", "libopus", 48_000, sweep(48_000, 3.0), **LIVE_OGG)),
        ("matroska", encode("webm", "libopus", 48_000, sweep(48_000, 3.0), live="1")),
        ("mov", encode("mp4", "aac", 44_100, sweep(44_100, 3.0), **LIVE_MP4)),
        ("aac", encode("adts", "aac", 16_000, sweep(16_000, 3.0))),
        ("amr", encode("amr", "libopencore_amrnb", 8_000, sweep(8_000, 3.0))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_can_be_decoded_has_been_given_when_feed_is_exhausted(demuxer, data):
    """And that is all but a packet, an encoder's delay, and what the resampler holds."""
    audio, fed = Container(demuxer, 1), 0
    for part in every(data, 200):
        list(audio.feed(part))
        fed += len(part)
        assert audio.input_ms > fed / len(data) * 3_000 - 250
    list(audio.finish())
    assert audio.input_ms >= 3_000
    audio.close()


def test_every_lane_of_a_stereo_recording():
    data = encode("webm", "libopus", 48_000, sweep(48_000, 1.0, 2), b="128000")
    heard, milliseconds = decoded(AudioFormat("webm-opus", 48_000, 2, 2), every(data, 500))
    assert all(likeness(heard[lane], sweep(16_000, 1.0, 2)[:, lane]) > 0.95 for lane in (0, 1))
    assert 1_000 <= milliseconds < 1_040
    with pytest.raises(BadAudio, match="has 2 channels where channels=4"):
        decoded(AudioFormat("webm-opus", 48_000, 4, 4), every(data, 500))


def test_the_first_audio_is_enough_and_pictures_are_passed_over():
    """What a browser records with a camera."""
    samples = sweep(48_000, 1.0)
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as out:
        video = out.add_stream("mjpeg", rate=10, width=64, height=64, pix_fmt="yuvj420p")
        audio = out.add_stream("pcm_s16le", rate=48_000, layout="mono")
        for index in range(10):
            frame = av.VideoFrame(64, 64, "yuvj420p")
            frame.pts = index
            out.mux(video.encode(frame))
            block = av.AudioFrame.from_ndarray(
                samples[index * 4_800 : (index + 1) * 4_800].reshape(1, -1), format="s16", layout="mono"
            )
            block.rate, block.pts = 48_000, index * 4_800
            out.mux(audio.encode(block))
    (lane,), milliseconds = decoded(AudioFormat(None), every(file.getvalue(), 1_000))
    assert likeness(lane, sweep(16_000, 1.0)[:, 0]) > 0.999
    assert milliseconds == 1_000


def test_hours_in_a_few_bytes_wait_until_they_are_wanted():
    silence = np.zeros((16_000 * 1_200, 1), np.int16)
    data = encode("matroska", "flac", 16_000, silence)
    assert len(data) < 400_000
    audio = Container("matroska", 1)
    before = resident_bytes()
    pieces = audio.feed(data)
    for _ in range(20):
        assert len(next(pieces)[0]) <= MAX_PIECE_BYTES
    assert audio.input_ms < 60_000
    assert resident_bytes() - before < 16 * 2**20
    audio.close()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 1.0])
def test_closing_ends_the_thread_from_every_state(share):
    data = encode("webm", "libopus", 48_000, sweep(48_000))
    audio = Container("matroska", 1)
    list(audio.feed(data[: int(len(data) * share)]))
    assert threads() == 1
    audio.close()
    audio.close()
    assert until(lambda: threads() == 0)
    assert list(audio.feed(data)) == []


def test_nothing_starts_after_closing():
    audio = Container("matroska", 1)
    audio.close()
    assert list(audio.feed(encode("webm", "libopus", 48_000, sweep(48_000)))) == []
    assert threads() == 0


@pytest.mark.parametrize("data", [
    encode("webm", "libopus", 48_000, sweep(48_000)),
    encode("wav", "adpcm_ms", 16_000, sweep(16_000)),
], ids=["webm", "wav"])  # fmt: skip
def test_a_client_may_leave_before_its_first_bytes_are_looked_at(data):
    """They wait for a thread of the pool, and what they are is only found there."""
    audio = decoder(AudioFormat(None))
    pieces = audio.feed(data)
    audio.close()
    assert list(pieces) == []
    assert threads() == 0


def test_closing_in_the_middle_of_pieces():
    data = encode("matroska", "flac", 16_000, np.zeros((16_000 * 600, 1), np.int16))
    audio = Container("matroska", 1)
    pieces = audio.feed(data)
    next(pieces)
    audio.close()
    assert until(lambda: threads() == 0)
    assert len(list(pieces)) < 70  # those that had been decoded


def test_closing_wakes_whoever_waits_for_pieces():
    audio = Container("matroska", 1)
    list(audio.feed(b"\x1aE\xdf\xa3"))
    pipe = audio._pipe
    assert pipe
    pipe._hungry = False  # as if libav were busy
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: list(audio._drain(pipe)))
        audio.close()
        assert waiting.result(10) == []


def test_a_decoder_nobody_closed_leaves_no_thread():
    audio = Container("ogg", 1)
    list(audio.feed(b"OggS"))
    assert threads() == 1
    del audio
    assert until(lambda: threads() == 0)


def test_two_hundred_that_were_abandoned_leave_nothing():
    data = encode("webm", "libopus", 48_000, sweep(48_000))

    def abandon(count: int) -> None:
        for _ in range(count):
            audio = Container("matroska", 1)
            list(audio.feed(data[: len(data) // 2]))
            audio.close()
        assert until(lambda: threads() == 0)

    abandon(60)
    before = resident_bytes()
    abandon(200)
    assert resident_bytes() - before < 8 * 2**20


def test_bytes_without_audio_are_refused_before_they_are_many():
    void = b"\xec\x08" + b"\x00\x00\x00" + bytes(2**20)
    head = encode("matroska", "pcm_s16le", 16_000, sweep(16_000))[:60]
    audio = Container("matroska", 1)
    with pytest.raises(BadAudio, match=f"{MAX_UNHEARD_BYTES} bytes came without any audio"):
        list(pieces_of(audio, [head] + [void] * 20))
    audio.close()


def test_mp4_with_its_index_at_the_end_is_named():
    data = encode("ipod", "aac", 44_100, sweep(44_100, 8.0))
    with pytest.raises(BadAudio, match="fragmented, or have its index"):
        decoded(AudioFormat(None), [data])


def test_a_stream_that_turns_into_something_else_is_named_with_the_time():
    one, other = (encode("ogg", "libopus", 48_000, sweep(48_000, 1.0, count)) for count in (1, 2))
    with pytest.raises(BadAudio, match="After 1000 ms it is damaged, or goes on as something else"):
        decoded(AudioFormat("ogg-opus"), [one + other])


def test_a_stream_may_be_followed_by_another_of_its_kind():
    one = encode("ogg", "libopus", 48_000, sweep(48_000, 1.0))
    (lane,), milliseconds = decoded(AudioFormat("ogg-opus"), every(one + one, 700))
    assert likeness(lane[16_000:], sweep(16_000, 1.0)[:, 0]) > 0.99
    assert milliseconds == 2_000


def test_what_is_wrong_with_us_is_not_called_bad_audio(monkeypatch):
    def broken(*_: object) -> None:
        raise RuntimeError("ours")

    monkeypatch.setattr(container.libav, "first_audio", broken)
    audio = Container("matroska", 1)
    with pytest.raises(RuntimeError, match="ours"):
        list(pieces_of(audio, [encode("webm", "libopus", 48_000, sweep(48_000))]))
