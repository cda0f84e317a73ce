"""Every encoding on a socket: what is heard and billed is what was sent, to the millisecond."""

from __future__ import annotations

import asyncio
import random

import pytest

from gateway.audio.base import AudioFormat
from gateway.audio.tests.sounds import Int16, cut, decoded, encode, opus_packets, sweep
from tests.acceptance.stack import Stack
from tests.acceptance.tenant import Tenant
from tests.integration.sockets import listening, rest, transcript

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120)]

SECONDS = 2.5
MS = 2500
# An encoder adds silence of its own and fills its last frame; a decoder cannot know of all of it.
PADDING_MS = 140
RATES = [8_000, 16_000, 24_000, 44_100, 48_000]
BARE = {"linear16": "s16le", "linear32": "f32le", "mulaw": "mulaw", "alaw": "alaw"}
FRAGMENTS = {"movflags": "frag_every_frame+empty_moov+default_base_moof"}
# The encoding as it is said, or none; the container and codec as which it is made.
CONTAINERS = [
    ("ogg-opus", "ogg", "libopus", 48_000, {}),
    ("webm-opus", "webm", "libopus", 48_000, {}),
    ("flac", "flac", "flac", 44_100, {}),
    ("mp3", "mp3", "libmp3lame", 24_000, {}),
    ("wav", "wav", "pcm_s16le", 48_000, {}),
    ("aac", "adts", "aac", 16_000, {}),
    ("", "ogg", "libopus", 48_000, {}),
    ("", "webm", "libopus", 48_000, {}),
    ("", "flac", "flac", 16_000, {}),
    ("", "mp3", "libmp3lame", 44_100, {}),
    ("", "wav", "pcm_s24le", 8_000, {}),
    ("", "mp4", "aac", 44_100, FRAGMENTS),
]
LOSSLESS = {"flac", "wav"}


async def billed(stack: Stack, key: str, query: str, parts: list[bytes]) -> tuple[int, int]:
    """Milliseconds that were heard, and that are billed."""
    async with listening(stack, key, query) as socket:
        answers = asyncio.create_task(rest(socket))
        for part in parts:
            await socket.send(part)
        await socket.send('{"type":"CloseStream"}')
        messages, code, reason = await answers
    assert (code, reason) == (1000, ""), messages[-1]
    assert transcript(messages).startswith("The quick brown fox")
    metadata = messages[-1]
    return round(metadata["duration"] * 1000), round(metadata["billed_seconds"] * 1000)


def anywhere(data: bytes) -> list[bytes]:
    chance = random.Random(len(data))
    return [part for part in cut(data, [chance.randrange(len(data)) for _ in range(40)]) if part]


def bare(encoding: str, rate: int, samples: Int16) -> bytes:
    name = BARE[encoding]
    return encode(name, f"pcm_{name}", rate, samples)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("encoding", BARE)
async def test_samples_of_every_rate(scripted_stack: Stack, acme: Tenant, encoding: str, rate: int) -> None:
    parts = anywhere(bare(encoding, rate, sweep(rate, SECONDS)))
    query = f"encoding={encoding}&sample_rate={rate}"
    assert await billed(scripted_stack, acme.key, query, parts) == (MS, MS)


@pytest.mark.parametrize(("encoding", "container", "codec", "rate", "options"), CONTAINERS)
async def test_containers_said_and_recognised(
    scripted_stack: Stack,
    acme: Tenant,
    encoding: str,
    container: str,
    codec: str,
    rate: int,
    options: dict[str, str],
) -> None:
    data = encode(container, codec, rate, sweep(rate, SECONDS), **options)
    _, expected = decoded(AudioFormat(encoding or None), [data])
    assert MS <= expected <= MS + (0 if container in LOSSLESS else PADDING_MS)
    query = f"encoding={encoding}" if encoding else "interim_results=false"
    assert await billed(scripted_stack, acme.key, query, anywhere(data)) == (expected, expected)


async def test_raw_opus_packets(scripted_stack: Stack, acme: Tenant) -> None:
    packets = opus_packets(sweep(48_000, SECONDS))
    query = "encoding=opus&sample_rate=48000"
    assert await billed(scripted_stack, acme.key, query, packets) == (len(packets) * 20, len(packets) * 20)
    assert MS <= len(packets) * 20 <= MS + PADDING_MS


@pytest.mark.parametrize("encoding", ["linear16", "webm-opus", "flac"])
@pytest.mark.parametrize("apart", [True, False], ids=["each channel", "mixed"])
async def test_two_channels(scripted_stack: Stack, acme: Tenant, encoding: str, apart: bool) -> None:
    samples = sweep(48_000, SECONDS, 2)
    if encoding == "linear16":
        data, query = samples.tobytes(), "encoding=linear16&sample_rate=48000&channels=2"
    else:
        container, codec = {"webm-opus": ("webm", "libopus"), "flac": ("flac", "flac")}[encoding]
        data, query = encode(container, codec, 48_000, samples), f"encoding={encoding}&channels=2"
    query += f"&multichannel={str(apart).lower()}"
    heard, cost = await billed(scripted_stack, acme.key, query, anywhere(data))
    assert MS <= heard <= MS + (PADDING_MS if encoding == "webm-opus" else 0)
    assert cost == heard * (2 if apart else 1)
