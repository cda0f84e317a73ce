"""Audio that is meant to hurt, and clients that leave in the middle of it: nothing of them stays."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import httpx
import numpy as np
import pytest
from websockets.exceptions import InvalidStatus

from gateway.audio.tests.sounds import encode, sweep
from tests.acceptance.stack import Stack, wait_for
from tests.acceptance.tenant import Tenant
from tests.integration.conftest import RECORDED_MAX_S
from tests.integration.plain_http import token
from tests.integration.sockets import listening, rest

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

FRAGMENTS = {"movflags": "frag_every_frame+empty_moov+default_base_moof"}
AT_ONCE, ROUNDS = 12, 6
MAX_GROWTH = 24 * 2**20
# What pools start as they need them, at most: they are bounded and stay.
POOLS = 20


def status(stack: Stack, name: str) -> int:
    text = Path(f"/proc/{stack.pids['gateway']}/status").read_text()
    found = re.search(rf"^{name}:\s+(\d+)", text, re.MULTILINE)
    assert found
    return int(found.group(1))


def memory(stack: Stack) -> int:
    return status(stack, "VmRSS") * 1024


async def abandon(stack: Stack, key: str, data: bytes) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                async with listening(stack, key, "", close_timeout=0) as socket:
                    await socket.send(data[: len(data) // 2])
                    socket.transport.abort()
                return
            except InvalidStatus as refused:  # the places of those before are not free again yet
                if refused.response.status_code != 503:
                    raise
            await asyncio.sleep(0.1)


async def test_clients_that_leave_in_the_middle_of_a_container_leave_nothing(
    scripted_stack: Stack, acme: Tenant
) -> None:
    kinds = [
        encode("webm", "libopus", 48_000, sweep(48_000, 4.0)),
        encode("ogg", "libopus", 48_000, sweep(48_000, 4.0)),
        encode("mp4", "aac", 44_100, sweep(44_100, 4.0), **FRAGMENTS),
        encode("matroska", "flac", 16_000, np.zeros((16_000 * 300, 1), np.int16)),
    ]

    async def one_round() -> None:
        clients = [abandon(scripted_stack, acme.key, kinds[n % len(kinds)]) for n in range(AT_ONCE)]
        await asyncio.gather(*clients)

    threads = status(scripted_stack, "Threads")
    await one_round()
    before = memory(scripted_stack)
    for _ in range(ROUNDS):
        await one_round()
    wait_for(lambda: status(scripted_stack, "Threads") <= threads + POOLS, 10, "the threads to end")
    assert memory(scripted_stack) - before < MAX_GROWTH


async def test_hours_in_a_few_bytes_are_slowed_down_like_any_audio(
    scripted_stack: Stack, acme: Tenant
) -> None:
    bomb = encode("matroska", "flac", 16_000, np.zeros((16_000 * 3_600, 1), np.int16))
    assert len(bomb) < 2**20
    before = memory(scripted_stack)
    most = 0
    async with listening(scripted_stack, acme.key, "", close_timeout=0) as socket:
        await socket.send(bomb)
        heard = 0.0
        while heard < 60:  # it goes on: nothing waits for the whole of it
            message = json.loads(await socket.recv())
            heard = message["start"] + message["duration"]
            most = max(most, memory(scripted_stack))
        socket.transport.abort()
    assert most - before < MAX_GROWTH


def test_a_recording_is_as_long_as_it_is_whatever_it_says(scripted_stack: Stack, acme: Tenant) -> None:
    url, headers = scripted_stack.http_url + "/v1/listen", token(acme.key)

    def asked(data: bytes) -> httpx.Response:
        return httpx.post(url, headers=headers, content=data, timeout=60)

    short = bytearray(encode("flac", "flac", 16_000, sweep(16_000)))
    short[21:26] = bytes([short[21] & 0xF0 | 0x0F]) + b"\xff" * 4  # its number of samples: 1,193 hours
    refused = asked(bytes(short))
    assert (refused.status_code, refused.json()["err_code"]) == (422, "audio_too_long")
    assert "this one says that it is 4294967" in refused.json()["err_msg"]

    silence = np.zeros((8_000 * (RECORDED_MAX_S + 30), 1), np.int16)
    long = bytearray(encode("flac", "flac", 8_000, silence))
    assert len(long) < 2**20
    long[21:26] = bytes([long[21] & 0xF0]) + bytes(4)  # it does not say
    refused = asked(bytes(long))
    assert (refused.status_code, refused.json()["err_code"]) == (422, "audio_too_long")


async def test_mp4_with_its_index_at_the_end_is_named_live_and_heard_as_a_file(
    scripted_stack: Stack, acme: Tenant
) -> None:
    data = encode("ipod", "aac", 44_100, sweep(44_100, 8.0))
    async with listening(scripted_stack, acme.key, "") as socket:
        await socket.send(data)
        await socket.send('{"type":"CloseStream"}')
        messages, code, reason = await rest(socket)
    assert (code, reason) == (1008, "bad_audio")
    assert "fragmented, or have its index (moov) before the samples" in messages[-1]["description"]
    async with httpx.AsyncClient(timeout=60) as client:
        url = scripted_stack.http_url + "/v1/listen"
        answer = await client.post(url, headers=token(acme.key), content=data)
    assert answer.status_code == 200
    assert 8.0 <= answer.json()["metadata"]["duration"] < 8.1
