"""Bodies of recorded audio: who is refused before sending it, who is cut off, who is heard all the same."""

from __future__ import annotations

import asyncio
import http.client
from urllib.parse import urlsplit

import httpx
import pytest

from tests.acceptance.stack import Stack
from tests.acceptance.tenant import Tenant
from tests.integration.conftest import STALL_S, UPLOAD_MAX_BYTES
from tests.integration.plain_http import Line, line, token, wav

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120)]

BAD_KEY = "sk_" + "A" * 53
TRANSCRIPTIONS = "/v1/audio/transcriptions"
FORM = "Content-Type: multipart/form-data; boundary=b"
CONTINUE = "Expect: 100-continue"


def length(size: int) -> str:
    return f"Content-Length: {size}"


@pytest.mark.parametrize("path", ["/v1/listen", TRANSCRIPTIONS, "/v1/audio/translations"])
async def test_a_bad_key_is_refused_before_the_body_is_sent(scripted_stack: Stack, path: str) -> None:
    async with line(scripted_stack) as caller:
        await caller.ask(BAD_KEY, path, headers=[length(10_000_000), FORM, CONTINUE])
        status, headers, body = await caller.answer()
        assert status == 401
        assert headers["connection"] == "close"
        assert headers["www-authenticate"] == "Token"
        assert "key_" in (body["err_code"] if path == "/v1/listen" else body["error"]["code"])
        assert await caller.reader.read() == b""


@pytest.mark.parametrize(
    ("path", "headers", "status", "code"),
    [
        ("/v1/listen", [length(UPLOAD_MAX_BYTES + 1)], 413, "upload_too_large"),
        ("/v1/listen?channels=99", [length(10_000)], 400, "bad_parameter"),
        ("/v1/listen?utt_split=x&paragraphs=2", [length(10_000)], 400, "bad_parameter"),
        ("/v1/listen?language=tlh", [length(10_000)], 400, "unknown_model"),
        ("/v1/listen?model=none-like-it", [length(10_000)], 400, "unknown_model"),
        ("/v1/listen", [length(10_000), FORM], 415, "unsupported_body"),
        (TRANSCRIPTIONS, [length(2 * UPLOAD_MAX_BYTES), FORM], 413, "upload_too_large"),
        (TRANSCRIPTIONS, [length(10_000), "Content-Type: audio/wav"], 415, "unsupported_body"),
        ("/v1/audio/translations", [length(10_000), FORM], 400, "translation_not_offered"),
    ],
)
async def test_what_the_headers_tell_is_refused_at_once(
    scripted_stack: Stack, acme: Tenant, path: str, headers: list[str], status: int, code: str
) -> None:
    async with line(scripted_stack) as caller:
        await caller.ask(acme.key, path, headers=headers)
        said, _, body = await caller.answer()
    assert (said, body["error"]["code"] if "audio" in path else body["err_code"]) == (status, code)


async def test_the_body_is_invited_once_the_headers_are_accepted(scripted_stack: Stack, acme: Tenant) -> None:
    audio = wav(2)
    async with line(scripted_stack) as caller:
        await caller.ask(acme.key, headers=[length(len(audio)), CONTINUE])
        async with asyncio.timeout(10):
            assert await caller.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await caller.send(audio)
        status, headers, body = await caller.answer()
    assert status == 200
    assert body["metadata"]["duration"] == 2.0
    assert headers["dg-request-id"] == body["metadata"]["request_id"]
    assert "connection" not in headers


def test_a_refusal_reaches_a_client_that_sends_everything_first(scripted_stack: Stack) -> None:
    """Most clients read no answer before they have sent the whole body."""
    where = urlsplit(scripted_stack.http_url)
    client = http.client.HTTPConnection(where.hostname or "", where.port, timeout=30)
    for _ in range(3):
        client.request("POST", "/v1/listen", bytes(UPLOAD_MAX_BYTES), token(BAD_KEY))
        response = client.getresponse()
        assert response.status == 401
        assert b"key_" in response.read()


async def test_a_body_without_a_length_is_bounded_too(scripted_stack: Stack, acme: Tenant) -> None:
    async with line(scripted_stack) as caller:
        await caller.ask(acme.key, headers=["Transfer-Encoding: chunked"])
        chunk = b"%x\r\n" % 1_000_000 + bytes(1_000_000) + b"\r\n"
        for _ in range(UPLOAD_MAX_BYTES // 1_000_000 + 1):
            await caller.send(chunk)
        status, _, body = await caller.answer()
    assert (status, body["err_code"]) == (413, "upload_too_large")


async def test_a_body_in_tiny_chunks_is_one_recording(scripted_stack: Stack, acme: Tenant) -> None:
    audio = wav(0.5)
    async with line(scripted_stack) as caller:
        await caller.ask(acme.key, headers=["Transfer-Encoding: chunked"])
        pieces = [
            b"%x\r\n%b\r\n" % (len(part), part)
            for part in (audio[n : n + 3] for n in range(0, len(audio), 3))
        ]
        await caller.send(b"".join(pieces) + b"0\r\n\r\n")
        status, _, body = await caller.answer()
    assert (status, body["metadata"]["duration"]) == (200, 0.5)


@pytest.mark.parametrize("path", ["/v1/listen", TRANSCRIPTIONS])
async def test_a_body_that_stops_coming_is_answered_by_name(
    scripted_stack: Stack, acme: Tenant, path: str
) -> None:
    async with line(scripted_stack) as caller:
        await caller.ask(
            acme.key,
            path,
            headers=[
                length(100_000),
                FORM.replace(
                    "multipart/form-data", "multipart/form-data" if "audio" in path else "audio/wav"
                ),
            ],
            body=b"RIFF",
        )
        status, _, body = await caller.answer(STALL_S + 5)
    assert status == 408
    assert (body["error"]["code"] if "audio" in path else body["err_code"]) == "body_too_slow"


async def test_requests_follow_each_other_on_one_connection(scripted_stack: Stack, acme: Tenant) -> None:
    async with line(scripted_stack) as caller:
        for seconds in (1.0, 1.5, 0.5):  # sent all at once, before the first is answered
            audio = wav(seconds)
            await caller.ask(acme.key, headers=[length(len(audio))], body=audio)
        for seconds in (1.0, 1.5, 0.5):
            status, _, body = await caller.answer()
            assert (status, body["metadata"]["duration"]) == (200, seconds)
        # And what is Django's, after them.
        await caller.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(10):
            assert b" 200 " in await caller.reader.readline()


async def test_other_bodies_keep_their_bound(scripted_stack: Stack, acme: Tenant) -> None:
    async with line(scripted_stack) as caller:
        await caller.ask(acme.key, "/v1/audio/speech", headers=[length(50_000_000)])
        assert await _cut_off(caller)


async def test_a_body_that_is_too_large_is_refused_by_name(scripted_stack: Stack, acme: Tenant) -> None:
    async with line(scripted_stack) as caller:
        await caller.ask(acme.key, "/v1/auth/grant", headers=[length(4 * 1024 * 1024 + 1)])
        await caller.send(bytes(4 * 1024 * 1024 + 1))
        status, _, body = await caller.answer()
    assert (status, body["err_code"]) == (413, "body_too_large")


async def test_a_client_that_would_rather_speak_http_2_is_heard(scripted_stack: Stack, acme: Tenant) -> None:
    sound = wav(300.0)  # more than any other body may have
    http2 = ["Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAAQAAP__"]
    async with line(scripted_stack) as caller:
        await caller.ask(
            acme.key, headers=[*http2, "Content-Type: audio/wav", length(len(sound))], body=sound
        )
        status, _, body = await caller.answer(30)
    assert (status, body["metadata"]["duration"]) == (200, 300.0)


@pytest.mark.parametrize("root", ["/v1", "/\xff"])
def test_a_client_does_not_say_where_the_service_is(scripted_stack: Stack, acme: Tenant, root: str) -> None:
    headers = {**token(acme.key), "Daphne-Root-Path": root.encode("latin-1")}
    answer = httpx.get(scripted_stack.http_url + "/v1/models", headers=headers)
    assert answer.status_code == 200


async def _cut_off(caller: Line) -> bool:
    try:
        for _ in range(50):
            async with asyncio.timeout(5):
                await caller.send(bytes(1_000_000))
    except ConnectionError:
        return True
    return False


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "allow"),
    [
        ("GET", "/v1/listen", 426, "upgrade_required", "GET, POST"),
        ("PUT", "/v1/listen", 405, "method_not_allowed", "GET, POST"),
        ("DELETE", "/v1/listen", 405, "method_not_allowed", "GET, POST"),
        ("GET", TRANSCRIPTIONS, 405, "method_not_allowed", "POST"),
    ],
)
def test_other_methods_are_told_how_it_is_meant(
    scripted_stack: Stack, method: str, path: str, status: int, code: str, allow: str
) -> None:
    answer = httpx.request(method, scripted_stack.http_url + path)
    assert (answer.status_code, answer.headers["allow"]) == (status, allow)
    assert code in answer.text
