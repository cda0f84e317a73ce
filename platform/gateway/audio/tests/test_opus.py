from __future__ import annotations

import random

import numpy as np
import pytest

from gateway.audio.base import AudioFormat
from gateway.audio.opus import OpusPackets
from gateway.audio.tests.sounds import decoded, encode, likeness, opus_packets, sweep
from gateway.errors import BadAudio

LOOKAHEAD = 104  # samples at 16 kHz: a raw stream does not say that they are to be left out


@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
@pytest.mark.parametrize(("channels", "lanes"), [(1, 1), (2, 1), (2, 2)])
def test_packets_are_heard_whatever_they_were_made_from(rate, channels, lanes):
    samples = sweep(rate, 1.0, channels)
    packets = opus_packets(samples, rate, frame_duration="20")
    heard, milliseconds = decoded(AudioFormat("opus", rate, channels, lanes), packets)
    assert milliseconds == 20 * len(packets)
    expected = sweep(16_000, 1.0, channels)
    if lanes == 1:
        expected = expected.mean(axis=1, keepdims=True)
    for lane in range(lanes):
        assert max(likeness(heard[lane][shift:], expected[:, lane]) for shift in range(90, 120)) > 0.95


@pytest.mark.parametrize("duration", ["2.5", "10", "60", "120"])
def test_packets_of_any_length(duration):
    packets = opus_packets(sweep(48_000, 0.6), frame_duration=duration)
    _, milliseconds = decoded(AudioFormat("opus"), packets)
    assert milliseconds == int(float(duration) * len(packets))


def test_a_packet_is_given_as_it_comes():
    audio = OpusPackets(1, 1)
    heard = 0
    for count, packet in enumerate(opus_packets(sweep(48_000)), start=1):
        heard += sum(len(lane) for (lane,) in audio.feed(packet)) // 2
        assert heard >= count * 320 - 640  # what the resampler holds back
    audio.close()


def test_silence_that_was_not_sent_and_empty_messages():
    audio = OpusPackets(1, 1)
    assert list(audio.feed(b"")) == []
    list(audio.feed(b"\x08"))  # a table of contents and nothing else: 20 ms of silence
    assert audio.input_ms == 20


@pytest.mark.parametrize("bad", [b"\xff\x00", b"\x03\x3f" + bytes(200), bytes(70_000)])
def test_what_is_no_packet_is_refused_with_its_number(bad):
    good = opus_packets(sweep(48_000))[:3]
    with pytest.raises(BadAudio, match="Message 4 is not one Opus packet"):
        decoded(AudioFormat("opus"), [*good, bad])


def test_more_than_two_channels_are_refused():
    with pytest.raises(BadAudio, match="at most 2 channels; send more in Ogg or WebM"):
        decoded(AudioFormat("opus", 48_000, 3, 3), [b"\x08"])


def test_a_container_that_was_called_opus_is_read_as_what_it_is():
    (lane,), milliseconds = decoded(
        AudioFormat("opus"), [encode("ogg", "libopus", 48_000, sweep(48_000, 2.0))]
    )
    assert likeness(lane, sweep(16_000, 2.0)[:, 0]) > 0.99
    assert milliseconds == 2000


def test_any_bytes_are_a_packet_or_a_refusal():
    chance = random.Random(1)
    refused = 0
    for _ in range(2_000):
        audio = OpusPackets(chance.choice([1, 2]), 1)
        try:
            for _ in range(3):
                for (lane,) in audio.feed(chance.randbytes(chance.choice([1, 2, 20, 200, 2_000]))):
                    assert np.frombuffer(lane, "<i2").size <= 16_000
        except BadAudio:
            refused += 1
        audio.close()
    assert 0 < refused < 2_000
