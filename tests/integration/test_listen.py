"""`/v1/listen` as a socket: what is refused at the door, what is borne, and what ends a stream."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket as sockets_module
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.acceptance.stack import Stack, wait_for
from tests.acceptance.tenant import Tenant, new_key, usage
from tests.integration.conftest import FAILURES_PER_MINUTE, WINDOW_S
from tests.integration.sockets import SECOND, kept_alive, listening, refusal, rest, transcript

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]


def token(key: str) -> dict[str, Any]:
    return {"additional_headers": {"Authorization": f"Token {key}"}}


async def say(socket: Any, kind: str) -> None:
    await socket.send(json.dumps({"type": kind}))


# ---- at the door


async def test_refusals_have_a_status_a_code_and_a_sentence(scripted_stack: Stack, acme: Tenant) -> None:
    unknown = "sk_" + "a" * 12 + "_" + "b" * 40
    no_listen = new_key(scripted_stack, acme, "usage:read")
    cases = [
        ("/v1/listen", {}, 401, "key_missing"),
        ("/v1/listen", token("nonsense"), 401, "key_malformed"),
        ("/v1/listen", token(unknown), 401, "key_unknown"),
        ("/v1/listen", token(no_listen), 403, "scope_missing"),
        ("/v1/listen?sample_rate=1", token(acme.key), 400, "bad_parameter"),
        ("/v1/listen?language=tlh", token(acme.key), 400, "unknown_model"),
        ("/v1/listen?model=imaginary", token(acme.key), 400, "unknown_model"),
        ("/v2/listen", token(acme.key), 404, "not_found"),
    ]
    for path, options, status, code in cases:
        got, body, headers = await refusal(scripted_stack, path, **options)
        assert (got, body["err_code"]) == (status, code)
        assert body["err_msg"].endswith(".")
        assert body["request_id"] == headers["dg-request-id"]
        assert acme.key not in json.dumps(body)


async def test_a_browser_sends_its_key_as_a_subprotocol(scripted_stack: Stack, acme: Tenant) -> None:
    url = f"{scripted_stack.ws_url}/v1/listen"
    async with connect(url, subprotocols=["token", acme.key], proxy=None) as socket:  # type: ignore[list-item]
        assert socket.subprotocol == "token"
    status, body, _ = await refusal(scripted_stack, subprotocols=["token", "sk_wrong"])
    assert (status, body["err_code"]) == (401, "key_malformed")


async def test_an_address_with_many_bad_keys_is_told_to_wait_and_its_neighbour_is_not(
    scripted_stack: Stack, acme: Tenant
) -> None:
    def from_address(address: str, key: str) -> dict[str, Any]:
        return {"additional_headers": {"Authorization": f"Token {key}", "X-Forwarded-For": address}}

    bad = "sk_" + "c" * 12 + "_" + "d" * 40
    for _ in range(FAILURES_PER_MINUTE):
        status, _, _ = await refusal(scripted_stack, **from_address("198.51.100.7", bad))
        assert status == 401
    status, body, headers = await refusal(scripted_stack, **from_address("198.51.100.7", bad))
    assert (status, body["err_code"]) == (429, "too_many_failures")
    assert 0 < int(headers["retry-after"]) <= 60
    status, _, _ = await refusal(scripted_stack, **from_address("198.51.100.8", bad))
    assert status == 401


async def test_no_more_streams_than_there_are_slots(scripted_stack: Stack, acme: Tenant) -> None:
    async with kept_alive() as held:
        await asyncio.gather(*(_hold(scripted_stack, acme.key, held) for _ in range(35)))
        # Fewer than 20 at first if a slot of the test before was only just being freed.
        assert 15 <= len(held) <= 20
        async with asyncio.timeout(10):
            while len(held) < 20:
                await _hold(scripted_stack, acme.key, held)
        status, body, headers = await refusal(scripted_stack, **token(acme.key))
        assert (status, body["err_code"]) == (503, "no_capacity")
        assert int(headers["retry-after"]) >= 1
    # A client that left has left its slot.
    async with asyncio.timeout(10), kept_alive() as held:
        while not held:
            await _hold(scripted_stack, acme.key, held)


async def _hold(stack: Stack, key: str, held: list[ClientConnection]) -> None:
    """One more, if there is room."""
    try:
        url = f"{stack.ws_url}/v1/listen?encoding=linear16"
        held.append(await connect(url, proxy=None, **token(key)))
    except InvalidStatus as refused:
        if refused.response.status_code != 503:
            raise


# ---- a stream


async def test_a_stream_from_open_to_metadata(scripted_stack: Stack, acme: Tenant, rival: Tenant) -> None:
    async with listening(
        scripted_stack, acme.key, "encoding=linear16&interim_results=true&tag=demo&model=nova-3"
    ) as socket:
        for _ in range(6):
            await socket.send(SECOND)
        await say(socket, "CloseStream")
        messages, code, _ = await rest(socket)
    assert code == 1000
    assert {m["type"] for m in messages} == {"Results", "Metadata"}
    finals = [m for m in messages if m["type"] == "Results" and m["is_final"]]
    assert [m["seq"] for m in finals] == list(range(len(finals)))
    assert transcript(messages).startswith("The quick brown fox")
    metadata = messages[-1]
    assert metadata["duration"] == metadata["billed_seconds"] == 6.0
    ranges = usage(scripted_stack, acme, metadata["request_id"], 6000)
    assert ranges == [(0, ranges[0][1]), *[(a, b) for a, b in ranges[1:]]]
    assert [a for a, _ in ranges[1:]] == [b for _, b in ranges[:-1]]
    assert ranges[-1][1] == 6000
    assert usage(scripted_stack, rival, metadata["request_id"], 0) == []


async def test_finalize_is_answered_and_the_stream_goes_on(scripted_stack: Stack, acme: Tenant) -> None:
    async with listening(scripted_stack, acme.key, "encoding=linear16") as socket:
        await socket.send(SECOND)
        await say(socket, "Finalize")
        answer = json.loads(await socket.recv())
        assert (answer["from_finalize"], answer["is_final"], answer["seq"]) == (True, True, 0)
        await socket.send(SECOND)
        await say(socket, "CloseStream")
        messages, code, _ = await rest(socket)
    assert code == 1000
    assert messages[0]["seq"] == 1


async def test_silence_closes_and_keep_alive_prevents_it(scripted_stack: Stack, acme: Tenant) -> None:
    async with listening(scripted_stack, acme.key) as silent, listening(scripted_stack, acme.key) as alive:
        ending = asyncio.create_task(rest(silent))
        while not ending.done():
            await say(alive, "KeepAlive")
            await asyncio.wait([ending], timeout=0.3)
        messages, code, reason = ending.result()
        assert (code, reason, messages[-1]["code"]) == (1011, "NET-0001", "NET-0001")
        await say(alive, "CloseStream")
        _, code, _ = await rest(alive)
        assert code == 1000


async def test_bad_messages_cost_an_error_each_and_not_the_stream(
    scripted_stack: Stack, acme: Tenant
) -> None:
    bad = ["", "{", "[]", '{"type":"Nonsense"}', "[" * 60_000, '{"type":' + "1" * 60_000 + "}", "\x00", "💥"]
    async with listening(scripted_stack, acme.key) as socket:
        for text in bad:
            await socket.send(text)
        await socket.send(SECOND)
        await say(socket, "CloseStream")
        messages, code, _ = await rest(socket)
    assert code == 1000
    errors = [m for m in messages if m["type"] == "Error"]
    assert [m["code"] for m in errors] == ["bad_message"] * len(bad)
    assert messages[-1]["duration"] == 1.0


async def test_a_frame_too_large_closes_with_the_standard_code(scripted_stack: Stack, acme: Tenant) -> None:
    async with listening(scripted_stack, acme.key) as socket:
        await socket.send(b"\x00" * (1024 * 1024 + 1))
        _, code, _ = await rest(socket)
    assert code == 1009


@pytest.mark.parametrize("seed", range(3))
async def test_random_bytes_on_the_wire_hurt_nobody_else(
    scripted_stack: Stack, acme: Tenant, seed: int
) -> None:
    """Broken frames after a good handshake, half-open sockets, and clients that vanish."""
    noise = random.Random(seed)
    where = urlsplit(scripted_stack.http_url)
    handshake = (
        f"GET /v1/listen?encoding=linear16 HTTP/1.1\r\nHost: {where.netloc}\r\n"
        f"Upgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        f"Authorization: Token {acme.key}\r\n\r\n"
    ).encode()
    for _ in range(40):
        _, writer = await asyncio.open_connection(where.hostname, where.port)
        writer.write(handshake if noise.random() < 0.7 else handshake[: noise.randrange(len(handshake))])
        if noise.random() < 0.8:
            writer.write(noise.randbytes(noise.randrange(2000)))
        if noise.random() < 0.5:
            await writer.drain()
        if noise.random() < 0.3:
            writer.transport.abort()
        else:
            writer.close()
    # The slots they took are free again, all of them.
    async with asyncio.timeout(20), kept_alive() as held:
        while len(held) < 20:
            await _hold(scripted_stack, acme.key, held)
    async with asyncio.timeout(20), kept_alive() as held:
        while not held:
            await _hold(scripted_stack, acme.key, held)
        socket = held[0]
        await socket.send(SECOND)
        await say(socket, "CloseStream")
        messages, code, _ = await rest(socket)
    assert (code, messages[-1]["duration"]) == (1000, 1.0)


async def test_any_cut_of_the_same_bytes_gives_the_same_transcript_and_bill(
    scripted_stack: Stack, acme: Tenant
) -> None:
    data = random.Random(1).randbytes(2 * 16_000 * 5 + 3)

    async def run(cut: random.Random | None) -> tuple[str, float, list[Any]]:
        async with listening(scripted_stack, acme.key, "encoding=linear16") as socket:
            at = 0
            while at < len(data):
                size = cut.choice([1, 319, 640, 3201, 40_001]) if cut else len(data)
                await socket.send(data[at : at + size])
                at += size
            await say(socket, "CloseStream")
            messages, _, _ = await rest(socket)
        words = [w for m in messages[:-1] for w in m["channel"]["alternatives"][0]["words"]]
        return transcript(messages), messages[-1]["billed_seconds"], words

    whole = await run(None)
    assert whole[1] == 5.0
    for seed in range(3):
        assert await run(random.Random(seed)) == whole


# ---- back-pressure


async def test_a_client_faster_than_the_worker_is_slowed_by_tcp(scripted_stack: Stack, acme: Tenant) -> None:
    """While the worker is stopped, the gateway takes in a window and the socket's buffers, and no more."""
    minute = SECOND * 60
    worker = scripted_stack.pids["worker"]
    memory = _memory(scripted_stack.pids["gateway"])
    async with listening(scripted_stack, acme.key, "encoding=linear16", close_timeout=1) as socket:
        os.kill(worker, signal.SIGSTOP)
        try:
            sent = 0
            async with asyncio.timeout(0.6):
                for start in range(0, len(minute) * 5, 8000):
                    await socket.send(minute[start % len(minute) :][:8000])
                    sent += 8000
        except TimeoutError:
            pass
        finally:
            os.kill(worker, signal.SIGCONT)
        assert sent < len(minute) * 5, "five minutes of audio went somewhere"
        assert sent > WINDOW_S * len(SECOND)
        assert _memory(scripted_stack.pids["gateway"]) - memory < 16 * 1024 * 1024


async def test_a_client_that_does_not_read_loses_partials_and_no_final(
    scripted_stack: Stack, acme: Tenant
) -> None:
    """Its receive buffer is small, it reads nothing until all is said, and every final is there."""
    raw = sockets_module.socket()
    raw.setsockopt(sockets_module.SOL_SOCKET, sockets_module.SO_RCVBUF, 4096)
    where = urlsplit(scripted_stack.ws_url)
    raw.connect((where.hostname, where.port))
    raw.setblocking(False)
    async with listening(scripted_stack, acme.key, sock=raw, max_queue=1) as socket:
        for _ in range(200):
            await socket.send(SECOND)
        await say(socket, "CloseStream")
        messages, code, _ = await rest(socket)
    assert code == 1000
    finals = [m for m in messages if m["type"] == "Results" and m["is_final"]]
    assert [m["seq"] for m in finals] == list(range(len(finals)))
    assert messages[-1]["duration"] == 200.0
    words = [w for m in finals for w in m["channel"]["alternatives"][0]["words"]]
    assert words[-1]["end"] > 199


def _memory(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


# ---- parts that go away


async def test_a_lost_valkey_is_survived(scripted_stack: Stack, acme: Tenant) -> None:
    """Kill it: open streams end by name or go on, never in silence; then all is well by itself."""
    before = scripted_stack.pids["valkey"]
    async with listening(scripted_stack, acme.key) as socket:
        await socket.send(SECOND)
        os.kill(before, signal.SIGKILL)
        sending = asyncio.create_task(_send_until_closed(socket))
        async with asyncio.timeout(30):
            messages, code, _ = await rest(socket)
        await sending
    assert code in (1000, 4503)
    assert code == 1000 or messages[-1]["code"] == "worker_lost"
    wait_for(lambda: scripted_stack.health()[0] == 200, 60, "everything to be back")
    async with listening(scripted_stack, acme.key) as socket:
        await socket.send(SECOND)
        await say(socket, "CloseStream")
        messages, code, _ = await rest(socket)
    assert code == 1000
    assert usage(scripted_stack, acme, messages[-1]["request_id"], 1000) == [(0, 1000)]


async def _send_until_closed(socket: Any) -> None:
    with suppress(ConnectionClosed):
        for _ in range(20):
            await socket.send(SECOND[:6400])
            await asyncio.sleep(0.2)
        await say(socket, "CloseStream")


async def test_a_worker_killed_in_mid_stream_costs_no_word(scripted_stack: Stack, acme: Tenant) -> None:
    """There is one worker here, so the stream waits until that has been started again."""

    async def heard(socket: Any, *, killing: bool) -> list[dict[str, Any]]:
        await socket.send(SECOND * 4)
        first = json.loads(await socket.recv())
        if killing:
            os.kill(scripted_stack.pids["worker"], signal.SIGKILL)
        await socket.send(SECOND * 2)
        await say(socket, "CloseStream")
        async with asyncio.timeout(60):
            messages, code, reason = await rest(socket)
        assert (code, reason) == (1000, "")
        return [first, *messages]

    async with listening(scripted_stack, acme.key) as socket:
        wanted = await heard(socket, killing=False)
    async with listening(scripted_stack, acme.key) as socket:
        messages = await heard(socket, killing=True)
    assert transcript(messages) == transcript(wanted)
    finals = [m for m in messages if m["type"] == "Results" and m["is_final"]]
    assert [m["seq"] for m in finals] == list(range(len(finals)))
    ranges = usage(scripted_stack, acme, messages[-1]["request_id"], 6000)
    assert sum(to_ms - from_ms for from_ms, to_ms in ranges) == 6000


async def test_a_gateway_told_to_stop_says_so_and_meters_what_was_done(
    scripted_stack: Stack, acme: Tenant
) -> None:
    async with listening(scripted_stack, acme.key) as socket:
        await socket.send(SECOND)
        first = json.loads(await socket.recv())
        os.kill(scripted_stack.pids["gateway"], signal.SIGTERM)
        messages, code, reason = await rest(socket)
    assert (code, reason) == (1012, "gateway_draining")
    assert messages[-1]["type"] == "Error"
    wait_for(lambda: _healthy(scripted_stack), 60, "the gateway to be back")
    ranges = usage(scripted_stack, acme, first["metadata"]["request_id"], 1)
    assert 0 < ranges[-1][1] <= 1000


def _healthy(stack: Stack) -> bool:
    try:
        return stack.health()[0] == 200
    except OSError:
        return False
