"""Real speech in every encoding, live: what is heard is what is heard in the WAV."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
import soxr

from gateway.audio.tests.sounds import Int16, encode, every, opus_packets
from tests import recordings
from tests.acceptance.stack import Stack
from tests.acceptance.tenant import Tenant
from tests.integration.sockets import listening, rest, transcript

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120)]

NAME = "two_cities.wav"
SECONDS = 15  # of it: some forty words
# Telephone bands and low bit rates cost a word here and there.
MAX_DIFFERENCE = 0.1
MESSAGE_BYTES = 3_001
FRAGMENTS = {"movflags": "frag_every_frame+empty_moov+default_base_moof"}


def speech(rate: int, channels: int = 1) -> Int16:
    pcm, recorded_at = recordings.pcm(NAME)
    samples = np.frombuffer(pcm, "<i2")[: SECONDS * recorded_at].astype(np.float32)
    heard = soxr.resample(samples, recorded_at, rate)
    return np.repeat(np.clip(np.rint(heard), -32768, 32767).astype(np.int16)[:, np.newaxis], channels, 1)


async def heard(stack: Stack, key: str, query: str, messages: list[bytes]) -> str:
    async with listening(stack, key, query) as socket:
        answers = asyncio.create_task(rest(socket))
        for message in messages:
            await socket.send(message)
        await socket.send('{"type":"CloseStream"}')
        said, code, reason = await answers
    assert (code, reason) == (1000, "")
    return transcript(said)


@pytest.fixture(scope="module")
def of_the_wav(stack: Stack, acme: Tenant) -> str:
    data = encode("wav", "pcm_s16le", 48_000, speech(48_000))
    said = asyncio.run(heard(stack, acme.key, "", every(data, MESSAGE_BYTES)))
    words = said.split()
    assert len(words) > 30
    assert recordings.word_error_rate(" ".join(recordings.TEXTS[NAME].split()[: len(words)]), said) < 0.15
    return said


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 44_100, 48_000])
async def test_linear16_at_every_rate(stack: Stack, acme: Tenant, of_the_wav: str, rate: int) -> None:
    messages = every(speech(rate).tobytes(), MESSAGE_BYTES)
    said = await heard(stack, acme.key, f"encoding=linear16&sample_rate={rate}", messages)
    assert recordings.word_error_rate(of_the_wav, said) <= MAX_DIFFERENCE


@pytest.mark.parametrize(
    ("query", "container", "codec", "rate", "channels", "options"),
    [
        ("encoding=linear32&sample_rate=16000", "f32le", "pcm_f32le", 16_000, 1, {}),
        ("encoding=mulaw&sample_rate=8000", "mulaw", "pcm_mulaw", 8_000, 1, {}),
        ("encoding=alaw&sample_rate=8000", "alaw", "pcm_alaw", 8_000, 1, {}),
        ("encoding=ogg-opus", "ogg", "libopus", 48_000, 1, {"b": "24000"}),
        ("encoding=webm-opus", "webm", "libopus", 48_000, 2, {"b": "48000"}),
        ("encoding=flac", "flac", "flac", 44_100, 2, {}),
        ("encoding=mp3", "mp3", "libmp3lame", 44_100, 2, {"b": "64000"}),
        ("encoding=wav", "wav", "pcm_s24le", 48_000, 2, {}),
        ("", "webm", "libopus", 48_000, 1, {}),
        ("", "mp4", "aac", 44_100, 1, FRAGMENTS),
        ("", "mp3", "libmp3lame", 16_000, 1, {}),
    ],
)
async def test_every_encoding(
    stack: Stack,
    acme: Tenant,
    of_the_wav: str,
    query: str,
    container: str,
    codec: str,
    rate: int,
    channels: int,
    options: dict[str, str],
) -> None:
    messages = every(encode(container, codec, rate, speech(rate, channels), **options), MESSAGE_BYTES)
    said = await heard(stack, acme.key, query, messages)
    assert recordings.word_error_rate(of_the_wav, said) <= MAX_DIFFERENCE


async def test_raw_opus_packets(stack: Stack, acme: Tenant, of_the_wav: str) -> None:
    packets = opus_packets(speech(48_000), b="24000")
    said = await heard(stack, acme.key, "encoding=opus&sample_rate=48000", packets)
    assert recordings.word_error_rate(of_the_wav, said) <= MAX_DIFFERENCE
