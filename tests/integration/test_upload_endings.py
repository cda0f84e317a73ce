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
LONG = b"\x55" * 8_000 * 60 * 19
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


async def until(stack: Stack, held: int) -> None:
    await asyncio.to_thread(wait_for, lambda: uploads(stack) == held, 15, f"{held} uploads to be held")


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
            await until(scripted_stack, 0)


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
        await until(scripted_stack, 1)
        caller.cut()
        await until(scripted_stack, 0)


async def test_one_whose_client_leaves_while_it_is_heard(scripted_stack: Stack, acme: Tenant) -> None:
    async with line(scripted_stack) as caller:
        await caller.ask(acme.key, MULAW, headers=[f"Content-Length: {len(LONG)}"], body=LONG)
        await until(scripted_stack, 1)
        caller.cut()
        await until(scripted_stack, 0)


async def test_one_whose_worker_dies(scripted_stack: Stack, acme: Tenant) -> None:
    async with line(scripted_stack) as caller:
        worker = scripted_stack.pids["worker"]
        os.kill(worker, signal.SIGSTOP)  # so that it cannot be done before
        try:
            await caller.ask(acme.key, MULAW, headers=[f"Content-Length: {len(LONG)}"], body=LONG)
            await until(scripted_stack, 1)
        finally:
            os.kill(worker, signal.SIGKILL)
        status, headers, body = await caller.answer(20)
    assert (status, body["err_code"]) in [(503, "worker_lost"), (503, "no_worker"), (503, "no_capacity")]
    assert int(headers["retry-after"]) >= 1
    await until(scripted_stack, 0)
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
    await until(scripted_stack, 0)
