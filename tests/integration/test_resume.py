"""Clients that are cut off and come back: what they missed is said, the rest goes on, it is one stream."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection

from inference_worker.engines.scripted import SENTENCES, spoken
from stenogate import client, patience
from stenogate.feed import Layout
from tests.acceptance.stack import Stack, wait_for
from tests.acceptance.tenant import Tenant, new_tenant, usage
from tests.integration.sockets import SECOND, listening, refusal, rest
from tests.receiver import receiver

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120)]

QUERY = "encoding=linear16&interim_results=true"
BYTES_PER_MS = 32
WHOLE_MS = 12_000
Message = dict[str, Any]


def expected(ms: int = WHOLE_MS) -> list[tuple[str, float, float]]:
    """What the engine says of so much audio."""
    words = [word for word in spoken(SENTENCES) if word.end_ms <= ms]
    return [(word.text, word.start_ms / 1000, word.end_ms / 1000) for word in words]


def finals(messages: list[Message]) -> list[Message]:
    return [m for m in messages if m["type"] == "Results" and m["is_final"]]


def words(messages: list[Message], channel: int = 0) -> list[tuple[str, float, float]]:
    """Of all finals, each of which must be there once."""
    found = {m["seq"]: m for m in finals(messages)}
    assert sorted(found) == list(range(len(found)))
    mine = [found[seq] for seq in sorted(found) if found[seq]["channel_index"][0] == channel]
    return [
        (w["punctuated_word"], w["start"], w["end"])
        for m in mine
        for w in m["channel"]["alternatives"][0]["words"]
    ]


def came_with(final: Message) -> tuple[int, Any]:
    return final["seq"], final["channel"]


async def until_final(socket: ClientConnection, seq: int) -> list[Message]:
    messages: list[Message] = []
    while not (found := finals(messages[-1:])) or found[0]["seq"] < seq:
        messages.append(json.loads(await socket.recv()))
    return messages


def opening(socket: ClientConnection) -> tuple[str, str, int]:
    """Request id, token, and from where to send."""
    assert socket.response is not None
    headers = socket.response.headers
    return (
        headers["dg-request-id"],
        headers["stenogate-resume-token"],
        int(headers["stenogate-resume-from-ms"]),
    )


def back(token: str, last_seq: int | None = None, query: str = QUERY) -> str:
    return f"{query}&resume_token={token}" + ("" if last_seq is None else f"&last_seq={last_seq}")


async def cut_off(stack: Stack, key: str, query: str = QUERY, *, after: int = 1) -> list[Message]:
    """The first six seconds, up to that final; then the connection is gone without a word."""
    async with listening(stack, key, query) as socket:
        await socket.send(SECOND * 6)
        messages = await until_final(socket, after)
        socket.transport.abort()
    return messages


async def to_the_end(
    socket: ClientConnection, audio: bytes, bytes_per_ms: int = BYTES_PER_MS
) -> list[Message]:
    _, _, from_ms = opening(socket)
    await socket.send(audio[from_ms * bytes_per_ms :])
    await socket.send('{"type":"CloseStream"}')
    messages, code, reason = await rest(socket)
    assert (code, reason) == (1000, "")
    assert messages[0]["type"] == "Resume"
    assert messages[0]["resume_from_ms"] == from_ms
    return messages[1:]


def log_entries(stack: Stack, request_id: str) -> list[tuple[str, int, int]]:
    """Outcome, audio and billed milliseconds of each, once there is one."""
    rows = stack.shell(f"""
import time
from metering.models import Request
from tenants.scope import staff_scope
deadline = time.monotonic() + 30
while True:
    with staff_scope():
        rows = list(Request.objects.filter(request_id={request_id!r}).values_list(
            "outcome", "audio_ms", "billed_ms"))
    if rows or time.monotonic() > deadline:
        break
    time.sleep(0.1)
answer(rows)
""")
    return [(outcome, audio_ms, billed_ms) for outcome, audio_ms, billed_ms in rows]


def assert_billed_once(stack: Stack, tenant: Tenant, stream: str, ms: int) -> None:
    ranges = usage(stack, tenant, stream, ms)
    assert sorted(ranges)[0][0] == 0
    assert [start for start, _ in sorted(ranges)[1:]] == [end for _, end in sorted(ranges)[:-1]]
    assert sorted(ranges)[-1][1] == ms


# ---- cut off


async def test_a_client_whose_network_was_cut_goes_on_as_if_nothing_had_been(
    scripted_stack: Stack, acme: Tenant
) -> None:
    before = await cut_off(scripted_stack, acme.key)
    token = finals(before)[-1]["resume_token"]
    request_id = before[0]["metadata"]["request_id"]
    async with listening(scripted_stack, acme.key, back(token, last_seq=0)) as socket:
        assert opening(socket)[0] == request_id
        messages = await to_the_end(socket, SECOND * 12)
    # What it says that it has not is said again, the same; then it goes on.
    assert came_with(messages[0]) == came_with(finals(before)[1])
    assert words(before + messages) == expected()
    metadata = messages[-1]
    assert metadata["request_id"] == request_id
    assert metadata["duration"] == metadata["billed_seconds"] == 12.0
    assert_billed_once(scripted_stack, acme, request_id, WHOLE_MS)
    assert log_entries(scripted_stack, request_id) == [("done", WHOLE_MS, WHOLE_MS)]


async def test_who_has_heard_nothing_yet_hears_all_of_it(scripted_stack: Stack, acme: Tenant) -> None:
    """The token of the handshake is enough, and that of a visit that was cut off as well."""
    async with listening(scripted_stack, acme.key, f"{QUERY}&resume=true") as socket:
        _, token, from_ms = opening(socket)
        welcome = json.loads(await socket.recv())
        assert (from_ms, welcome["type"], welcome["resume_from_ms"], welcome["next_seq"]) == (
            0,
            "Resume",
            0,
            0,
        )
        assert welcome["window_s"] == 60
        await socket.send(SECOND * 6)
        await until_final(socket, 1)
        socket.transport.abort()
    async with listening(scripted_stack, acme.key, back(token, last_seq=-1)) as socket:
        _, token, _ = opening(socket)
        socket.transport.abort()
    async with listening(scripted_stack, acme.key, back(token, last_seq=-1)) as socket:
        messages = await to_the_end(socket, SECOND * 12)
    assert words(messages) == expected()


async def test_two_channels_of_a_telephone(scripted_stack: Stack, acme: Tenant) -> None:
    query = "encoding=mulaw&channels=2&multichannel=true"
    second = b"\xff" * 16_000
    async with listening(scripted_stack, acme.key, query) as socket:
        request_id, _, _ = opening(socket)
        await socket.send(second * 6)
        before = await until_final(socket, 3)
        socket.transport.abort()
    token = finals(before)[-1]["resume_token"]
    async with listening(scripted_stack, acme.key, back(token, last_seq=1, query=query)) as socket:
        after = await to_the_end(socket, second * 12, bytes_per_ms=16)
    assert [m["seq"] for m in finals(after)[:2]] == [2, 3]
    assert [came_with(m) for m in finals(after)[:2]] == [came_with(m) for m in finals(before)[2:]]
    for channel in (0, 1):
        assert words(before + after, channel) == expected()
    assert (after[-1]["duration"], after[-1]["billed_seconds"]) == (12.0, 24.0)
    for channel in (0, 1):
        assert_billed_once(scripted_stack, acme, f"{request_id}.{channel}", WHOLE_MS)


async def test_callbacks_come_once(scripted_stack: Stack, acme: Tenant) -> None:
    with receiver() as server:
        query = f"{QUERY}&callback={server.url('/hook')}"
        before = await cut_off(scripted_stack, acme.key, query)
        token = finals(before)[-1]["resume_token"]
        async with listening(scripted_stack, acme.key, back(token, last_seq=0, query=query)) as socket:
            after = await to_the_end(socket, SECOND * 12)
        last = max(m["seq"] for m in finals(after))
        asked = server.wait_for(last + 2, within_s=30)
    said = [json.loads(one.body) for one in asked]
    assert sorted(m["seq"] for m in said if m["type"] == "Results") == list(range(last + 1))
    assert [m["type"] for m in said if m["type"] != "Results"] == ["Metadata"]
    assert len({one.headers["webhook-id"] for one in asked}) == len(asked)


async def test_a_silent_network_is_no_end(scripted_stack: Stack, acme: Tenant) -> None:
    """From here it looks like a client that has nothing to say."""
    async with listening(scripted_stack, acme.key) as socket:
        _, token, _ = opening(socket)
        await socket.send(SECOND * 4)
        _, code, reason = await rest(socket)
        assert (code, reason) == (1011, "NET-0001")
    async with listening(scripted_stack, acme.key, back(token, last_seq=-1)) as socket:
        assert opening(socket)[2] == 4000
        assert words(await to_the_end(socket, SECOND * 12)) == expected()


# ---- at the door


async def test_whoever_comes_later_has_the_stream_and_a_third_is_told_to_wait(
    scripted_stack: Stack, acme: Tenant
) -> None:
    """A socket that is dead and does not know looks like this."""
    headers = {"Authorization": f"Token {acme.key}"}
    async with listening(scripted_stack, acme.key) as old:
        await old.send(SECOND * 6)
        before = await until_final(old, 1)
        token = finals(before)[-1]["resume_token"]
        async with listening(scripted_stack, acme.key, back(token)) as new:
            _, code, reason = await rest(old)
            assert (code, reason) == (4409, "resumed_elsewhere")
            status, body, answer = await refusal(
                scripted_stack, f"/v1/listen?{back(token)}", additional_headers=headers
            )
            assert (status, body["err_code"]) == (409, "resume_conflict")
            assert int(answer["retry-after"]) >= 1
            assert words(before + await to_the_end(new, SECOND * 12)) == expected()


async def test_who_cannot_come_back_is_told_why(scripted_stack: Stack, acme: Tenant, rival: Tenant) -> None:
    before = await cut_off(scripted_stack, acme.key)
    token = finals(before)[-1]["resume_token"]
    claims, _, signature = token.rpartition(".")

    async def why(query: str, key: str = acme.key) -> tuple[int, str]:
        headers = {"Authorization": f"Token {key}"}
        status, body, _ = await refusal(scripted_stack, f"/v1/listen?{query}", additional_headers=headers)
        return status, body["err_code"]

    assert await why(back("TOKEN")) == (400, "resume_bad_token")
    assert await why(back(f"{claims}.{signature[::-1]}")) == (400, "resume_bad_token")
    assert await why(back(token[: len(token) // 2])) == (400, "resume_bad_token")
    assert await why(back("x" * 4097)) == (400, "bad_parameter")
    assert await why(back(token), rival.key) == (403, "resume_foreign")
    assert await why(back(token, query="encoding=linear16&channels=2&multichannel=true")) == (
        400,
        "resume_unsuitable",
    )
    assert await why(back(token, query=f"{QUERY}&resume=false")) == (403, "resume_off")
    assert await why(back(token, last_seq=99)) == (410, "resume_late")
    # None of that has hurt the stream.
    async with listening(scripted_stack, acme.key, back(token)) as socket:
        assert words(before + await to_the_end(socket, SECOND * 12)) == expected()
    assert await why(back(token)) == (410, "resume_late")


async def test_nothing_is_kept_for_who_does_not_want_it(scripted_stack: Stack, acme: Tenant) -> None:
    async with listening(scripted_stack, acme.key, f"{QUERY}&resume=false") as socket:
        assert socket.response is not None
        assert not [name for name in socket.response.headers if name.startswith("stenogate-resume")]
        await socket.send(SECOND * 4)
        assert "resume_token" not in (await until_final(socket, 0))[-1]


async def test_what_is_switched_off_is_off(scripted_stack: Stack) -> None:
    plain = new_tenant(scripted_stack, "plain")
    before = await cut_off(scripted_stack, plain.key)
    scripted_stack.shell(f"""
from uuid import UUID
from regions.services.flags import set_flag
set_flag("resume", False, tenant=UUID({plain.id!r}), actor="tests")
answer(None)
""")
    headers = {"Authorization": f"Token {plain.key}"}
    path = f"/v1/listen?{back(finals(before)[-1]['resume_token'])}"
    async with asyncio.timeout(20):
        while True:
            try:
                status, body, _ = await refusal(scripted_stack, path, additional_headers=headers)
                break
            except AssertionError:  # it has not been heard of yet
                await asyncio.sleep(0.1)
    assert (status, body["err_code"]) == (403, "resume_off")


async def test_a_stream_that_nobody_comes_back_to_is_over_and_in_the_log(
    scripted_stack: Stack, acme: Tenant
) -> None:
    before = await cut_off(scripted_stack, acme.key)
    request_id = before[0]["metadata"]["request_id"]
    # Its time is over: as if a minute had passed.
    scripted_stack.shell(f"""
import time
from redis import Redis
from django.conf import settings
with Redis.from_url(settings.REDIS_URL) as redis:
    prefix = "stenogate:resume:{{%s}}:" % settings.REGION
    while float(redis.hget(prefix + {request_id!r}, "held") or 1):
        time.sleep(0.05)
    redis.hset(prefix + {request_id!r}, "until", 0)
    redis.zadd(prefix + "due", {{{request_id!r}: 0}})
answer(None)
""")
    headers = {"Authorization": f"Token {acme.key}"}
    path = f"/v1/listen?{back(finals(before)[-1]['resume_token'])}"
    status, body, _ = await refusal(scripted_stack, path, additional_headers=headers)
    assert (status, body["err_code"]) == (410, "resume_late")
    ((outcome, audio_ms, billed_ms),) = log_entries(scripted_stack, request_id)
    assert outcome == "client_left"
    assert 3000 < billed_ms <= audio_ms <= 6000
    assert_billed_once(scripted_stack, acme, request_id, billed_ms)


# ---- with the client of this service


async def test_the_client_outlives_its_gateways(
    scripted_stack: Stack, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is told to stop, and one that is killed."""
    monkeypatch.setattr(patience, "LONGEST_S", 0.5)
    messages: list[Message] = []
    kills = {1: signal.SIGTERM, 4: signal.SIGKILL}

    def hear(message: Message, _raw: str) -> None:
        messages.append(message)
        if finals([message]) and message["seq"] in kills:
            os.kill(scripted_stack.pids["gateway"], kills.pop(message["seq"]))

    async def speech() -> AsyncIterator[bytes]:
        for _ in range(WHOLE_MS // 100):
            yield SECOND[:3200]
            await asyncio.sleep(0.02)

    url = f"{scripted_stack.ws_url}/v1/listen?{QUERY}"
    outcome = await client.transcribe(url, acme.key, speech(), hear, Layout(16_000), chance=Random(1))
    assert not kills
    assert outcome.came_back >= 2
    assert [m["seq"] for m in finals(messages)] == list(range(len(finals(messages))))
    assert words(messages) == expected()
    assert {m["metadata"]["request_id"] for m in finals(messages)} == {outcome.request_id}
    assert messages[-1]["duration"] == messages[-1]["billed_seconds"] == 12.0
    assert_billed_once(scripted_stack, acme, outcome.request_id, WHOLE_MS)
    assert log_entries(scripted_stack, outcome.request_id) == [("done", WHOLE_MS, WHOLE_MS)]
    wait_for(lambda: scripted_stack.health()[0] == 200, 60, "everything to be back")
