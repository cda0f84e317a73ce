"""A thousand clients at the same moment, where there is room for twenty."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable
from contextlib import suppress
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.client import ClientConnection

from gateway.ramp import COME_BACK_UNTIL_S, SLOWEST_FULL
from inference_worker.engines.scripted import SENTENCES, spoken
from tests.acceptance.stack import Stack
from tests.acceptance.tenant import Tenant
from tests.benchmarks import storm_client
from tests.benchmarks.load_client import CLOSE_STREAM, KEEP_ALIVE, Socket
from tests.benchmarks.storm_client import Answer
from tests.integration.sockets import SECOND, listening, rest, transcript

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120)]

CLIENTS, SLOTS = 1000, 20  # those of the worker; the live stream has one
TENTH = SECOND[: len(SECOND) // 10]
SAYS = ("More streams are opening than can be served in time.", "Every worker is full.")


def knock(stack: Stack, key: str) -> Awaitable[Answer]:
    where = urlsplit(stack.http_url)
    return storm_client.knock(str(where.hostname), where.port or 0, key)


async def speak(socket: ClientConnection, until: asyncio.Event) -> int:
    """At the pace of speech; how many milliseconds it were."""
    sent = 0
    while not until.is_set():
        await socket.send(TENTH)
        sent += 100
        await asyncio.sleep(0.1)
    return sent


async def come(stack: Stack, key: str, over: asyncio.Event) -> tuple[Answer, int]:
    """What it is told; and if it is let in, how its stream ends, which it keeps until all is over."""
    answer = await knock(stack, key)
    if answer.socket is None:
        return answer, 0
    while not over.is_set():
        answer.socket.send(KEEP_ALIVE)
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await over.wait()
    return answer, await end(answer.socket)


async def end(socket: Socket) -> int:
    """The code that the stream ends with."""
    socket.send(CLOSE_STREAM)
    try:
        return await socket.closed
    finally:
        socket.hang_up()


async def test_everybody_is_let_in_or_told_when_to_come_back_and_who_is_in_hears_every_word(
    scripted_stack: Stack, acme: Tenant
) -> None:
    over = asyncio.Event()
    async with listening(scripted_stack, acme.key) as live:
        speaking = asyncio.create_task(speak(live, over))
        heard = asyncio.create_task(rest(live))
        await asyncio.sleep(0.5)
        storm = [asyncio.create_task(come(scripted_stack, acme.key, over)) for _ in range(CLIENTS)]
        async with asyncio.timeout(60):
            while sum(task.done() for task in storm) <= CLIENTS - SLOTS:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            over.set()
            answers = await asyncio.gather(*storm)
            sent_ms = await speaking
            await live.send(json.dumps({"type": "CloseStream"}))
            messages, code, _ = await heard

    inside = [answer for answer, _ in answers if answer.socket is not None]
    refused = [answer for answer, _ in answers if answer.socket is None]
    assert {end for answer, end in answers if answer.socket} == {1000}
    # As many as there is room for, not all at once.
    first, *_, last = sorted(answer.at for answer in inside)
    assert SLOWEST_FULL < len(inside) < SLOTS
    assert last - first > 0.5
    assert {answer.status for answer in refused} == {503}
    assert all(any(says in answer.says for says in SAYS) for answer in refused), refused[0]
    # Those who come back come one after the other.
    a_second = Counter(answer.retry_after_s for answer in refused)
    assert min(a_second) >= 1
    assert max(a_second) <= COME_BACK_UNTIL_S
    assert max(a_second.values()) < CLIENTS / 10
    # Nobody who was in has noticed.
    assert code == 1000
    wanted = [word.text for word in spoken(SENTENCES * 9) if word.end_ms <= sent_ms]
    assert transcript(messages).split() == wanted
    assert len(wanted) > 5


async def test_who_comes_back_afterwards_is_let_in(scripted_stack: Stack, acme: Tenant) -> None:
    async with asyncio.timeout(20):
        while (answer := await knock(scripted_stack, acme.key)).socket is None:  # noqa: ASYNC110
            await asyncio.sleep(0.5)
    assert await end(answer.socket) == 1000
