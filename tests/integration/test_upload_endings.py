"""However an upload ends, its file is gone: it never has a name, and nothing holds it open."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import httpx
import pytest

from tests.acceptance.stack import Stack, wait_for
from tests.acceptance.tenant import Tenant
from tests.integration.conftest import UPLOAD_MAX_BYTES
from tests.integration.plain_http import line, token, wav
from tests.receiver import Answer, receiver

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120)]

MULAW = "/v1/listen?encoding=mulaw&sample_rate=8000"
LONG = b"\x55" * 8_000 * 60 * 4
FORM = "Content-Type: multipart/form-data; boundary=b"


def uploads(stack: Stack) -> int:
    """Open files of the gateway that are in no folder."""
    count = 0
    for entry in Path(f"/proc/{stack.pids['gateway']}/fd").iterdir():
        try:
            where = os.readlink(entry)
        except OSError:
            continue  # closed meanwhile
        count += where.endswith(" (deleted)") and "memfd" not in where
    return count


async def until(stack: Stack, *, held: bool) -> None:
    """One that is heard is open twice: there, and where it is read."""
    await asyncio.to_thread(wait_for, lambda: bool(uploads(stack)) is held, 15, f"uploads held: {held}")


@pytest.mark.parametrize("path", ["/v1/listen", "/v1/audio/transcriptions"])
async def test_one_that_is_heard_or_refused(scripted_stack: Stack, acme: Tenant, path: str) -> None:
    async with httpx.AsyncClient(timeout=60) as client:
        for content, status in [
            (wav(3), 200),
            (b"no audio at all" * 1000, 415),
            (wav(0), 422),
            (bytes(UPLOAD_MAX_BYTES + 2**20), 413),
        ]:
            body = {"content": content} if path == "/v1/listen" else {"files": {"file": content}}
            answer = await client.post(scripted_stack.http_url + path, headers=token(acme.key), **body)  # type: ignore[arg-type]
            assert answer.status_code == status
            await until(scripted_stack, held=False)


@pytest.mark.parametrize("headers", [[], [FORM]], ids=["body", "form"])
async def test_one_whose_client_leaves_while_it_sends(
    scripted_stack: Stack, acme: Tenant, headers: list[str]
) -> None:
    path = "/v1/audio/transcriptions" if headers else "/v1/listen"
    start = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' if headers else b""
    )
    async with line(scripted_stack) as caller:
        length = f"Content-Length: {10**7}"
        await caller.ask(acme.key, path, headers=[length, *headers], body=start + bytes(10**6))
        await until(scripted_stack, held=True)
        caller.cut()
        await until(scripted_stack, held=False)


async def test_one_whose_client_leaves_while_it_is_heard(scripted_stack: Stack, acme: Tenant) -> None:
    async with line(scripted_stack) as caller:
        await caller.ask(acme.key, MULAW, headers=[f"Content-Length: {len(LONG)}"], body=LONG)
        await until(scripted_stack, held=True)
        caller.cut()
        await until(scripted_stack, held=False)


async def test_one_whose_worker_dies_is_heard_by_the_next(scripted_stack: Stack, acme: Tenant) -> None:
    def all_free() -> bool:
        return "room for 20 streams" in scripted_stack.health()[1]

    await asyncio.to_thread(wait_for, all_free, 20, "the slots")
    async with line(scripted_stack) as caller:
        await caller.ask(acme.key, MULAW, headers=[f"Content-Length: {len(LONG)}"], body=LONG)
        await asyncio.to_thread(wait_for, lambda: not all_free(), 10, "the recording to be heard")
        assert uploads(scripted_stack)
        os.kill(scripted_stack.pids["worker"], signal.SIGKILL)
        status, _, body = await caller.answer(60)
    assert status == 200
    assert body["metadata"]["duration"] == len(LONG) / 8_000
    words = body["results"]["channels"][0]["alternatives"][0]["words"]
    starts = [word["start"] for word in words]
    assert starts == sorted(set(starts))
    assert words[-1]["end"] > len(LONG) / 8_000 - 2
    await until(scripted_stack, held=False)
    await asyncio.to_thread(wait_for, lambda: scripted_stack.health()[0] == 200, 60, "the worker to be back")


async def test_one_that_is_fetched_and_one_with_a_callback(scripted_stack: Stack, acme: Tenant) -> None:
    def answer(asked: object) -> Answer:
        return Answer(body=wav(2))

    with receiver(answer) as server:
        async with httpx.AsyncClient(timeout=60) as client:
            path = f"{scripted_stack.http_url}/v1/listen?callback={server.url('/done')}"
            for body in (
                {"json": {"url": server.url("/a.wav")}},
                {"content": wav(2)},
                {"content": b"nothing"},
            ):
                accepted = await client.post(path, headers=token(acme.key), **body)  # type: ignore[arg-type]
                assert accepted.status_code == 200
        await asyncio.to_thread(server.wait_for, 4, 30)  # three results, and a recording that was asked for
    await until(scripted_stack, held=False)
