"""A tenant on hold, for its cap, its credit or its invoice: what its clients hear and are billed."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from gateway.session import WIND_UP_S
from tests.acceptance import sdk
from tests.acceptance.assemblyai_sdk import streaming
from tests.acceptance.openai_sdk import TRANSCRIPTION, transcribing
from tests.acceptance.stack import Stack, wait_for
from tests.acceptance.tenant import Tenant, change_account, new_key, new_tenant, usage
from tests.integration.conftest import RECORDED_MAX_S
from tests.integration.plain_http import line, token, wav
from tests.integration.sockets import SECOND, refusal, rest
from tests.receiver import receiver

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]

RATE = 16_000
# The gateways look several times a second; the rest is for a busy machine.
TOLD_WITHIN_S = 1.5


@dataclass(frozen=True)
class Reason:
    """What is done to the account, what undoes it, and what the customer hears."""

    settings: str
    undone: str
    code: str
    sentence: str


REASONS = {
    "spend_cap": Reason("hard_cap=Decimal(0)", "hard_cap=None", "spend_cap_reached", "Raise the cap"),
    "prepaid": Reason("mode='prepaid'", "mode='invoice'", "prepaid_used_up", "Add credit"),
    "payment": Reason("standing='suspended'", "standing='good'", "payment_overdue", "Pay the open invoice"),
}
CAP = REASONS["spend_cap"]


@pytest.fixture(params=list(REASONS))
def reason(request: pytest.FixtureRequest) -> Reason:
    return REASONS[request.param]


@pytest.fixture
def held(scripted_stack: Stack) -> Tenant:
    """A tenant of this test alone, which is not on hold yet."""
    return new_tenant(scripted_stack, f"held-{time.time_ns()}")


@contextmanager
def speaking(say: Any) -> Iterator[None]:
    """Somebody who goes on speaking until nobody takes it any more."""
    stopped = threading.Event()

    def speak() -> None:
        with suppress(ConnectionClosed, OSError):
            while not stopped.wait(0.05):
                say(SECOND[: RATE // 10])

    thread = threading.Thread(target=speak)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join(10)


def billed(stack: Stack, tenant: Tenant, stream: str, at_least_ms: int) -> int:
    ranges = usage(stack, tenant, stream, at_least_ms)
    assert ranges[0][0] == 0
    assert all(before[1] == after[0] for before, after in pairwise(ranges))
    return ranges[-1][1]


def test_an_open_stream_gets_its_finals_and_the_reason_and_is_billed_no_more(
    scripted_stack: Stack, held: Tenant, rival: Tenant, reason: Reason
) -> None:
    key = new_key(scripted_stack, held, "listen", "usage:read")
    with ExitStack() as leaving:
        socket, heard = leaving.enter_context(sdk.listening(scripted_stack, key, RATE))
        other, others = leaving.enter_context(sdk.listening(scripted_stack, rival.key, RATE))
        with speaking(socket.send_media), speaking(other.send_media):
            wait_for(lambda: heard.finals and others.finals, 30, "the first finals")
            held_at = change_account(scripted_stack, held, reason.settings)
            wait_for(lambda: socket._websocket.close_code is not None, 15, "the stream to be closed")
            ended_after = time.time() - held_at
            count = len(others.messages)
            wait_for(lambda: len(others.messages) > count + 1, 10, "the rival to go on")
        assert other._websocket.close_code is None
        other.send_close_stream()
    assert ended_after < TOLD_WITHIN_S + WIND_UP_S
    assert others.close_code == 1000

    # The last final comes before the reason, and nothing after it.
    assert (heard.close_code, heard.close_reason) == (1008, reason.code)
    *_, last, error = heard.messages
    assert (error.type, error.code) == ("Error", reason.code)
    assert reason.sentence in error.description
    assert (last.type, last.is_final, last.from_finalize) == ("Results", True, True)
    # All that is in the finals was heard, and all that was heard is billed, no more and no less.
    billed_ms = billed(scripted_stack, held, heard.request_id, round(last.metadata.billed_seconds * 1000))
    assert 0 < heard.finals[-1].start * 1000 <= billed_ms

    # New streams and recordings are refused, reading is not.
    with sdk.refused(402, reason.code), sdk.listening(scripted_stack, key, RATE):
        pass
    refused = httpx.post(
        f"{scripted_stack.http_url}/v1/listen", headers=token(key), content=wav(1), timeout=30
    )
    assert (refused.status_code, refused.json()["err_code"]) == (402, reason.code)
    assert reason.sentence in refused.json()["err_msg"]
    path = f"/v1/projects/{held.project_id}/requests"
    with httpx.Client(base_url=scripted_stack.http_url, headers=token(key), timeout=30) as client:
        logged = wait_for(lambda: client.get(path).json()["requests"], 30, "the request log")
    assert [(one["outcome"], one["code"]) for one in logged] == [(reason.code, 402)]
    assert usage(scripted_stack, held, heard.request_id, 0)[-1][1] == billed_ms

    # And all is well again as soon as the reason is gone.
    change_account(scripted_stack, held, reason.undone)
    wait_for(lambda: _is_let_in(scripted_stack, key), 5, "the key to be good again")


def _is_let_in(stack: Stack, key: str) -> bool:
    answer = httpx.post(f"{stack.http_url}/v1/listen", headers=token(key), content=wav(1), timeout=30)
    assert answer.status_code in (200, 402), answer.text
    return answer.status_code == 200


async def test_openais_client_gets_its_last_turn_and_the_reason(scripted_stack: Stack, held: Tenant) -> None:
    async with transcribing(scripted_stack, held.key) as session:
        stream = session.events[0].session.id.removeprefix("sess_")
        await session.send(b"\x00\x01" * 24_000 * 2, 24_000)
        await session.until("input_audio_buffer.speech_started")
        await asyncio.to_thread(change_account, scripted_stack, held, CAP.settings)
        error = (await session.until("error")).error
    assert error.code == "spend_cap_reached"
    assert CAP.sentence in error.message
    # Its turn, in the middle of which it was, has been completed with what was said.
    (completed,) = session.of_type(f"{TRANSCRIPTION}.completed")
    assert completed.transcript
    assert session.deltas(completed.item_id) == completed.transcript
    assert not session.of_type(f"{TRANSCRIPTION}.failed")
    assert 1900 < billed(scripted_stack, held, stream, 1900) <= 2000
    headers = {"Authorization": f"Bearer {held.key}"}
    status, body, _ = await refusal(
        scripted_stack, "/v1/realtime?intent=transcription", additional_headers=headers
    )
    assert (status, body["error"]["code"]) == (402, "spend_cap_reached")


def test_assemblyais_client_gets_its_last_turn_and_the_reason(scripted_stack: Stack, held: Tenant) -> None:
    with streaming(scripted_stack, held.key) as (client, heard), speaking(client.stream):
        heard.until("Turn")
        change_account(scripted_stack, held, REASONS["prepaid"].settings)
        (error,) = wait_for(lambda: heard.errors[:1], 15, "the reason")
    assert error.code == 4002
    assert "prepaid_used_up" in str(error)
    assert heard.of_type("Turn")[-1].end_of_turn


async def test_the_day_that_is_used_up_ends_with_all_finals_too(scripted_stack: Stack, held: Tenant) -> None:
    scripted_stack.shell(f"""
from decimal import Decimal
from tenants import services
from tenants.limits import Limits
from tenants.models import Project
from tenants.scope import staff_scope
with staff_scope():
    project = Project.objects.get(id={held.project_id!r})
    services.set_project_limits(project, Limits(audio_hours_a_day=Decimal("0.001")))
answer(None)
""")
    headers = {"Authorization": f"Token {held.key}"}
    url = f"{scripted_stack.ws_url}/v1/listen?encoding=linear16&sample_rate={RATE}"
    async with connect(url, additional_headers=headers, proxy=None) as socket:
        for _ in range(5):
            await socket.send(SECOND)
        async with asyncio.timeout(20):
            messages, code, reason = await rest(socket)
    assert (code, reason) == (1008, "audio_limit_reached")
    *_, last, error = messages
    assert (last["is_final"], last["from_finalize"], error["code"]) == (True, True, "audio_limit_reached")
    assert billed(scripted_stack, held, last["metadata"]["request_id"], 5000) == 5000


async def test_a_recording_under_way_is_ended_with_402(scripted_stack: Stack, held: Tenant) -> None:
    """One in the engine, one that uploads, and one whose result goes to the customer's own server."""
    query = "/v1/listen?encoding=mulaw&sample_rate=8000"
    long = b"\x55" * 8000 * (RECORDED_MAX_S - 1)
    with receiver() as server:
        async with (
            line(scripted_stack) as hearing,
            line(scripted_stack) as sending,
            line(scripted_stack) as later,
        ):
            await sending.ask(held.key, headers=["Transfer-Encoding: chunked"], body=b"4\r\nRIFF\r\n")
            trickling = asyncio.create_task(_trickle(sending))
            holding = asyncio.create_task(
                asyncio.to_thread(change_account, scripted_stack, held, CAP.settings)
            )
            called = f"{query}&callback={server.url('/done')}"
            asked, status = [], 200
            async with asyncio.timeout(120):
                while status == 200:  # one after the other, until the account is on hold
                    await later.ask(held.key, called, headers=[f"Content-Length: {len(long)}"], body=long)
                    _, _, body = await later.answer(30)
                    asked.append(body)
                    await hearing.ask(held.key, query, headers=[f"Content-Length: {len(long)}"], body=long)
                    status, _, body = await hearing.answer(60)
            assert (status, body["err_code"]) == (402, "spend_cap_reached")
            await holding
            status, _, body = await sending.answer(30)
            trickling.cancel()
            assert (status, body["err_code"]) == (402, "spend_cap_reached")
        answers = [
            json.loads(told.body)
            for told in server.wait_for(len([one for one in asked if "err_code" not in one]))
        ]
    assert all("metadata" in one or one["err_code"] == "spend_cap_reached" for one in answers)


async def _trickle(caller: Any) -> None:
    with suppress(OSError):
        while True:
            await caller.send(b"1\r\nx\r\n")
            await asyncio.sleep(0.1)
