"""Access tokens on the socket: what a browser is given instead of a key."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.acceptance.stack import Stack
from tests.acceptance.tenant import Tenant, new_key, revoke
from tests.integration.sockets import SECOND, refusal, rest, transcript

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]

PATH = "/v1/listen?encoding=linear16&sample_rate=16000"
REVOKED_WITHIN_S = 1.0


def issue(stack: Stack, key: str, *, ttl_s: int = 60) -> str:
    """As `POST /v1/auth/grant` does."""
    return str(
        stack.shell(f"""
from gateway import tokens
from tenants import selectors
answer(tokens.issue(selectors.find_key({key!r}), ttl_s={ttl_s}))
""")
    )


async def opened(stack: Stack, *subprotocols: str, **options: Any) -> Any:
    return await connect(stack.ws_url + PATH, proxy=None, subprotocols=list(subprotocols) or None, **options)  # type: ignore[arg-type]


async def test_a_browser_or_a_server_opens_a_stream_with_a_token(scripted_stack: Stack, acme: Tenant) -> None:
    token = issue(scripted_stack, acme.key)
    assert token.startswith("eyJ")
    for scheme in ("bearer", "token"):
        socket = await opened(scripted_stack, scheme, token)
        assert socket.subprotocol == scheme
        await socket.close()
    for scheme in ("Bearer", "bearer"):
        socket = await opened(scripted_stack, additional_headers={"Authorization": f"{scheme} {token}"})
        await socket.send(SECOND)
        await socket.send(json.dumps({"type": "CloseStream"}))
        messages, code, _ = await rest(socket)
        assert code == 1000
        assert transcript(messages)


async def test_a_stream_outlives_its_token_and_no_new_one_begins_with_it(
    scripted_stack: Stack, acme: Tenant
) -> None:
    token = issue(scripted_stack, acme.key, ttl_s=4)
    socket = await opened(scripted_stack, "bearer", token)
    issued_at = time.monotonic()
    while time.monotonic() - issued_at < 4.5:
        await socket.send(json.dumps({"type": "KeepAlive"}))
        await asyncio.sleep(0.5)
    status, body, _ = await refusal(scripted_stack, PATH, subprotocols=["bearer", token])
    assert (status, body["err_code"]) == (401, "token_expired")
    await socket.send(SECOND)
    await socket.send(json.dumps({"type": "CloseStream"}))
    messages, code, _ = await rest(socket)
    assert code == 1000
    assert transcript(messages)


async def test_a_revoked_key_takes_its_tokens_and_their_streams_with_it(
    scripted_stack: Stack, acme: Tenant
) -> None:
    key = new_key(scripted_stack, acme)
    token = issue(scripted_stack, key)
    socket = await opened(scripted_stack, "bearer", token)

    async def end() -> tuple[float, int, str]:
        _, code, reason = await rest(socket)
        return time.time(), code, reason

    async def stay() -> None:
        """A silent stream would be closed before a busy machine has revoked anything."""
        with suppress(ConnectionClosed):
            while True:
                await socket.send(json.dumps({"type": "KeepAlive"}))
                await asyncio.sleep(0.5)

    ended, staying = asyncio.create_task(end()), asyncio.create_task(stay())
    revoked_at = await asyncio.to_thread(revoke, scripted_stack, acme, key)
    ended_at, code, reason = await ended
    await staying
    assert (code, reason) == (1008, "key_revoked")
    assert ended_at - revoked_at < REVOKED_WITHIN_S
    status, body, _ = await refusal(scripted_stack, PATH, subprotocols=["bearer", token])
    assert (status, body["err_code"]) == (401, "key_revoked")


async def test_a_token_that_is_not_ours_is_refused_by_name(scripted_stack: Stack, acme: Tenant) -> None:
    token = issue(scripted_stack, acme.key)
    head, payload, _ = token.split(".")
    for bad, code in ((f"{head}.{payload}.", "token_invalid"), ("eyJ.nothing", "token_malformed")):
        headers = {"Authorization": f"Bearer {bad}"}
        status, body, _ = await refusal(scripted_stack, PATH, additional_headers=headers)
        assert (status, body["err_code"]) == (401, code)
        assert bad not in json.dumps(body)
