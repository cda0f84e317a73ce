"""A service full of recordings still has slots, steps and finals for whoever speaks now."""

from __future__ import annotations

import asyncio
import re

import httpx
import pytest

from tests.acceptance.stack import Stack, wait_for
from tests.acceptance.tenant import Tenant
from tests.integration.plain_http import token
from tests.integration.sockets import SECOND, listening, rest, transcript

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120)]

SLOTS = 20
RECORDED = 10  # RECORDED_SHARE of them, by default
MULAW = "?encoding=mulaw&sample_rate=8000"
LONG = b"\x55" * 8_000 * 60 * 4


def room(stack: Stack) -> int:
    found = re.search(r"room for (\d+) streams", stack.health()[1])
    return int(found.group(1)) if found else 0


async def speak(stack: Stack, tenant: Tenant) -> str:
    """A live stream at twice the pace of speech; what its finals said."""
    async with listening(stack, tenant.key, "encoding=linear16") as socket:
        for _ in range(6):
            await socket.send(SECOND)
            await asyncio.sleep(0.5)
        await socket.send('{"type":"CloseStream"}')
        messages, code, reason = await rest(socket)
    assert code == 1000, reason
    return transcript(messages)


async def test_live_streams_have_their_slots_and_finals_while_recordings_take_all_of_theirs(
    scripted_stack: Stack, acme: Tenant
) -> None:
    def wait_until(streams: int) -> None:
        wait_for(lambda: room(scripted_stack) == SLOTS - streams, 30, f"{streams} streams")

    await asyncio.to_thread(wait_until, 0)
    url, headers = scripted_stack.http_url + "/v1/listen" + MULAW, token(acme.key)
    async with httpx.AsyncClient(timeout=100) as client:
        uploads = [
            asyncio.create_task(client.post(url, headers=headers, content=LONG)) for _ in range(RECORDED + 2)
        ]
        try:
            await asyncio.to_thread(wait_until, RECORDED)
            async with asyncio.timeout(60):
                said = await asyncio.gather(*(speak(scripted_stack, acme) for _ in range(SLOTS - RECORDED)))
            assert all(text.startswith("The quick brown fox") for text in said)
            assert len(set(said)) == 1
            # They took every slot that was left, and recordings had theirs all the time.
            still = [upload for upload in uploads if not upload.done()]
            assert len(still) >= RECORDED // 2
            refused = [upload.result() for upload in uploads if upload.done()]
            assert {answer.status_code for answer in refused} <= {200, 503}
        finally:
            for upload in uploads:
                upload.cancel()
            await asyncio.gather(*uploads, return_exceptions=True)
    # Aborted in the middle, all of them: not a slot is lost.
    await asyncio.to_thread(wait_until, 0)
