"""Recorded audio and the whole service: what is refused and why, who waits, what is billed and what ends."""

from __future__ import annotations

import asyncio
import io
import json
import re
from contextlib import AsyncExitStack
from typing import Any

import av
import httpx
import numpy as np
import pytest

from tests.acceptance.stack import Stack, wait_for
from tests.acceptance.tenant import Tenant, new_key, revoke, usage
from tests.integration.conftest import RECORDED_MAX_S, RECORDED_WAIT_S, UPLOAD_MAX_BYTES
from tests.integration.plain_http import line, token, wav
from tests.integration.sockets import SECOND, kept_alive, listening, rest, transcript
from tests.receiver import Answer, receiver

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120)]

LISTEN, TRANSCRIPTIONS = "/v1/listen", "/v1/audio/transcriptions"
SLOTS = 20
# Telephone audio: many minutes in few bytes.
MULAW = "?encoding=mulaw&sample_rate=8000"
MINUTE = b"\x55" * 8_000 * 60
LONG = MINUTE * 4


def post(stack: Stack, key: str, path: str = LISTEN, **options: Any) -> httpx.Response:
    return httpx.post(stack.http_url + path, headers=token(key), timeout=60, **options)


def test_a_recording_is_transcribed_and_billed_exactly(scripted_stack: Stack, acme: Tenant) -> None:
    answer = post(
        scripted_stack, acme.key, LISTEN + "?utterances=true&paragraphs=true&tag=a", content=wav(61.234)
    )
    assert answer.status_code == 200, answer.text
    body = answer.json()
    metadata = body["metadata"]
    assert (metadata["duration"], metadata["billed_seconds"], metadata["channels"]) == (61.234, 61.234, 1)
    assert metadata["tags"] == ["a"]
    alternative = body["results"]["channels"][0]["alternatives"][0]
    assert alternative["transcript"].startswith("The quick brown fox")
    assert " ".join(one["transcript"] for one in body["results"]["utterances"]) == alternative["transcript"]
    assert alternative["paragraphs"]["transcript"].split() == alternative["transcript"].split()
    ranges = usage(scripted_stack, acme, metadata["request_id"], 61_234)
    assert (ranges[0][0], ranges[-1][1], sum(to - start for start, to in ranges)) == (0, 61_234, 61_234)


def test_channels_are_transcribed_each_for_itself(scripted_stack: Stack, acme: Tenant) -> None:
    answer = post(scripted_stack, acme.key, LISTEN + "?multichannel=true", content=wav(3, channels=2))
    body = answer.json()
    assert (body["metadata"]["channels"], body["metadata"]["billed_seconds"]) == (2, 6.0)
    said = [channel["alternatives"][0]["transcript"] for channel in body["results"]["channels"]]
    assert len(said) == 2
    assert all(text.startswith("The quick") for text in said)
    for channel in range(2):
        assert usage(scripted_stack, acme, f"{body['metadata']['request_id']}.{channel}", 3000)
    mixed = post(scripted_stack, acme.key, content=wav(3, channels=2)).json()
    assert (mixed["metadata"]["channels"], mixed["metadata"]["billed_seconds"]) == (1, 3.0)


def only_pictures() -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for packet in stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))):
            container.mux(packet)
        container.mux(stream.encode(None))
    return file.getvalue()


@pytest.mark.parametrize(
    ("query", "content", "status", "code"),
    [
        ("", b"", 422, "no_audio"),
        ("", wav(0), 422, "no_audio"),
        ("", only_pictures(), 422, "no_audio"),
        ("", b"%PDF-1.7 or whatever else is no audio" * 100, 415, "bad_audio"),
        ("", wav(1)[:20], 415, "bad_audio"),
        (MULAW, MINUTE * (RECORDED_MAX_S // 60) + b"\x55" * 8, 422, "audio_too_long"),
    ],
    ids=["empty", "no samples", "no audio track", "not audio", "cut off", "too long"],
)
def test_what_cannot_be_transcribed_is_refused_by_name(
    scripted_stack: Stack, acme: Tenant, query: str, content: bytes, status: int, code: str
) -> None:
    answer = post(scripted_stack, acme.key, LISTEN + query, content=content)
    assert (answer.status_code, answer.json()["err_code"]) == (status, code), answer.text
    assert answer.headers["dg-request-id"] == answer.json()["request_id"]
    files = {"file": ("a.wav", content)}
    if not query:
        problem = post(scripted_stack, acme.key, TRANSCRIPTIONS, files=files)
        assert (problem.status_code, problem.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    ("data", "parameter"),
    [
        ({"response_format": "yaml"}, "response_format"),
        ({"temperature": "2"}, "temperature"),
        ({"timestamp_granularities[]": "letter"}, "timestamp_granularities"),
        ({"stream": "perhaps"}, "stream"),
    ],
)
def test_a_bad_field_is_named(
    scripted_stack: Stack, acme: Tenant, data: dict[str, str], parameter: str
) -> None:
    answer = post(scripted_stack, acme.key, TRANSCRIPTIONS, data=data, files={"file": wav(1)})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["type"], error["param"], error["code"]) == (
        "invalid_request_error",
        parameter,
        "bad_parameter",
    )


# ---- by URL


def test_a_url_is_fetched(scripted_stack: Stack, acme: Tenant) -> None:
    with receiver(lambda asked: Answer(body=wav(4))) as server:
        answer = post(scripted_stack, acme.key, json={"url": server.url("/a.wav")})
    assert answer.status_code == 200, answer.text
    assert answer.json()["metadata"]["duration"] == 4.0


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (Answer(404), 400, "fetch_failed"),
        (Answer(body=b"<html>no such file</html>"), 415, "bad_audio"),
        (Answer(body=b""), 422, "no_audio"),
        (Answer(body=bytes(UPLOAD_MAX_BYTES + 1)), 413, "upload_too_large"),
        (Answer(body=bytes(UPLOAD_MAX_BYTES + 1), length=False), 413, "upload_too_large"),
        (Answer(302, {"location": "http://10.1.2.3/"}), 400, "url_refused"),
    ],
)
def test_what_a_url_gives_is_judged_like_a_body(
    scripted_stack: Stack, acme: Tenant, answer: Answer, status: int, code: str
) -> None:
    with receiver(lambda asked: answer) as server:
        refused = post(scripted_stack, acme.key, json={"url": server.url()})
    assert (refused.status_code, refused.json()["err_code"]) == (status, code), refused.text


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b'{"url": "http://169.254.169.254/latest/"}', "url_refused"),
        (b'{"url": "file:///etc/passwd"}', "url_refused"),
        (b'{"url": 3}', "bad_body"),
        (b"{", "bad_body"),
        (b"[" * 60_000, "bad_body"),
        (b" " * 70_000, "bad_body"),
    ],
)
def test_json_that_names_no_recording(scripted_stack: Stack, acme: Tenant, content: bytes, code: str) -> None:
    headers = token(acme.key, **{"Content-Type": "application/json"})
    answer = httpx.post(scripted_stack.http_url + LISTEN, headers=headers, content=content)
    assert (answer.status_code, answer.json()["err_code"]) == (400, code)


# ---- with a callback


def test_the_result_goes_to_the_customers_own_server(scripted_stack: Stack, acme: Tenant) -> None:
    with receiver() as server:
        path = f"{LISTEN}?callback={server.url('/done')}&callback_method=put"
        answer = post(scripted_stack, acme.key, path, content=wav(3))
        assert (answer.status_code, set(answer.json())) == (200, {"request_id"})
        (told,) = server.wait_for(1)
        assert (told.method, told.path) == ("PUT", "/done")
        assert told.headers["webhook-id"].endswith("_0")
        body = json.loads(told.body)
        assert body["metadata"]["request_id"] == answer.json()["request_id"]
        assert body["metadata"]["duration"] == 3.0
        failed = post(scripted_stack, acme.key, path, content=b"no audio")
        assert failed.status_code == 200
        told = server.wait_for(2)[1]
        body = json.loads(told.body)
        assert (body["err_code"], body["request_id"]) == ("bad_audio", failed.json()["request_id"])


def test_a_callback_to_nowhere_is_refused_before_the_body(scripted_stack: Stack, acme: Tenant) -> None:
    answer = post(scripted_stack, acme.key, LISTEN + "?callback=http://10.1.2.3/", content=wav(1))
    assert (answer.status_code, answer.json()["err_code"]) == (400, "url_refused")


# ---- room, and how it is given back


def free(stack: Stack) -> int:
    found = re.search(r"room for (\d+) streams", stack.health()[1])
    return int(found.group(1)) if found else 0


def all_free(stack: Stack) -> bool:
    return free(stack) == SLOTS


async def until(stack: Stack, streams_fewer: bool) -> None:
    look = (lambda: free(stack) < SLOTS) if streams_fewer else (lambda: all_free(stack))
    await asyncio.to_thread(wait_for, look, 10, "the slots")


async def test_a_client_that_leaves_frees_its_slot(scripted_stack: Stack, acme: Tenant) -> None:
    await until(scripted_stack, streams_fewer=False)
    async with line(scripted_stack) as caller:
        await caller.ask(acme.key, LISTEN + MULAW, headers=[f"Content-Length: {len(LONG)}"], body=LONG)
        await until(scripted_stack, streams_fewer=True)
        caller.cut()
        await until(scripted_stack, streams_fewer=False)


async def test_a_revoked_key_ends_its_recording(scripted_stack: Stack, acme: Tenant) -> None:
    key = await asyncio.to_thread(new_key, scripted_stack, acme)
    await until(scripted_stack, streams_fewer=False)
    async with line(scripted_stack) as hearing, line(scripted_stack) as sending:
        await sending.ask(key, headers=["Transfer-Encoding: chunked"], body=b"4\r\nRIFF\r\n")
        trickle = asyncio.create_task(_trickle(sending))
        revoking = asyncio.create_task(asyncio.to_thread(revoke, scripted_stack, acme, key))
        status = 200
        async with asyncio.timeout(120):
            while status == 200:
                await hearing.ask(key, LISTEN + MULAW, headers=[f"Content-Length: {len(LONG)}"], body=LONG)
                status, _, body = await hearing.answer(30)
        assert (status, body["err_code"]) == (401, "key_revoked")
        status, _, body = await sending.answer()
        assert (status, body["err_code"]) == (401, "key_revoked")
        trickle.cancel()
        await revoking
    await until(scripted_stack, streams_fewer=False)


async def _trickle(caller: Any) -> None:
    while True:
        await caller.send(b"1\r\nx\r\n")
        await asyncio.sleep(0.1)


async def test_recordings_wait_for_room_and_not_for_ever(scripted_stack: Stack, acme: Tenant) -> None:
    await until(scripted_stack, streams_fewer=False)
    async with AsyncExitStack() as open_ones, httpx.AsyncClient(timeout=60) as client:
        held = await open_ones.enter_async_context(kept_alive())
        while len(held) < SLOTS:
            held.append(await open_ones.enter_async_context(listening(scripted_stack, acme.key)))
        url, headers = scripted_stack.http_url + LISTEN, token(acme.key)
        refused = await client.post(url, headers=headers, content=wav(1))
        assert (refused.status_code, refused.json()["err_code"]) == (503, "no_capacity")
        assert f"{RECORDED_WAIT_S:g} seconds" in refused.json()["err_msg"]
        assert int(refused.headers["retry-after"]) >= 1
        waiting = [asyncio.create_task(client.post(url, headers=headers, content=wav(1))) for _ in range(5)]
        await asyncio.wait(waiting, timeout=0.5)
        assert not any(task.done() for task in waiting)
        await open_ones.aclose()
        assert [answer.status_code for answer in await asyncio.gather(*waiting)] == [200] * 5


async def test_many_recordings_leave_live_streams_their_finals(scripted_stack: Stack, acme: Tenant) -> None:
    async with httpx.AsyncClient(timeout=100) as client:
        url, headers = scripted_stack.http_url + LISTEN + MULAW, token(acme.key)
        uploads = [asyncio.create_task(client.post(url, headers=headers, content=MINUTE)) for _ in range(19)]
        async with listening(scripted_stack, acme.key, "encoding=linear16") as socket:
            for _ in range(6):
                await socket.send(SECOND)
                await asyncio.sleep(0.2)
            await socket.send('{"type":"CloseStream"}')
            async with asyncio.timeout(20):
                messages, code, _ = await rest(socket)
        assert code == 1000
        assert transcript(messages)
        answers = await asyncio.gather(*uploads)
    assert {answer.status_code for answer in answers} <= {200, 503}
    assert [a.json()["metadata"]["duration"] for a in answers if a.status_code == 200].count(60.0) >= 5
