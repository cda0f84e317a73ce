"""`/v1/realtime` on the whole service: OpenAI's SDK, and what a browser or a careless client sends."""

from __future__ import annotations

import base64
import json
from typing import Any

import openai
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from inference_worker.engines.scripted import SENTENCES
from tests.acceptance.openai_sdk import TRANSCRIPTION, transcribing
from tests.acceptance.stack import Stack
from tests.acceptance.tenant import Tenant, usage
from tests.integration.conftest import QUIET_S
from tests.integration.sockets import rest

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]

# Audio that waits for its successors when the client hangs up is not processed, and not billed.
IN_THE_RESAMPLER_MS = 40

SECOND = b"\x00\x01" * 24_000
FIRST, SECOND_SENTENCE = SENTENCES[:2]


async def test_turns_end_where_the_speaker_pauses(scripted_stack: Stack, acme: Tenant) -> None:
    async with transcribing(scripted_stack, acme.key) as session:
        shown = await session.update(transcription={"model": "gpt-4o-transcribe", "language": "en"})
        assert shown.audio.input.transcription.model == "gpt-4o-transcribe"
        for _ in range(7):
            await session.send(SECOND, 24_000)
        await session.until(f"{TRANSCRIPTION}.completed", 2)
        assert session.transcripts == [FIRST, SECOND_SENTENCE]
        for completed in session.of_type(f"{TRANSCRIPTION}.completed"):
            assert session.deltas(completed.item_id) == completed.transcript
        kinds = [event.type for event in session.events[2:]]
        assert kinds[0] == "input_audio_buffer.speech_started"
        assert kinds.index("input_audio_buffer.committed") < kinds.index(f"{TRANSCRIPTION}.completed")


async def test_what_the_client_is_told_is_what_is_billed(scripted_stack: Stack, acme: Tenant) -> None:
    async with transcribing(scripted_stack, acme.key) as session:
        stream = session.events[0].session.id.removeprefix("sess_")
        await session.update(turn_detection=None)
        for _ in range(3):
            await session.send(SECOND, 24_000)
            await session.connection.input_audio_buffer.commit()
        await session.until(f"{TRANSCRIPTION}.completed", 3)
    billed = [event.usage.seconds for event in session.of_type(f"{TRANSCRIPTION}.completed")]
    assert sum(billed) == 3
    assert 3000 - IN_THE_RESAMPLER_MS <= usage(scripted_stack, acme, stream, 2960)[-1][1] <= 3000


async def test_a_session_may_be_changed_while_it_runs(scripted_stack: Stack, acme: Tenant) -> None:
    """Language, pause and format: what was said before is finished, nothing is lost and nothing doubled."""
    async with transcribing(scripted_stack, acme.key) as session:
        stream = session.events[0].session.id.removeprefix("sess_")
        for _ in range(2):
            await session.send(SECOND, 24_000)
        shown = await session.update(
            format={"type": "audio/pcmu"},
            transcription={"language": "en"},
            turn_detection={"type": "server_vad", "silence_duration_ms": 900},
        )
        assert shown.audio.input.format.type == "audio/pcmu"
        assert session.transcripts == ["The quick brown fox jumps"]
        for _ in range(3):
            audio = base64.b64encode(b"\x7f" * 8000).decode()
            await session.connection.input_audio_buffer.append(audio=audio)
        await session.until(f"{TRANSCRIPTION}.completed", 2)
        assert " ".join(session.transcripts) == FIRST
        await session.connection.input_audio_buffer.commit()
        await session.until(f"{TRANSCRIPTION}.completed", 3)
    assert 5000 - IN_THE_RESAMPLER_MS <= usage(scripted_stack, acme, stream, 4960)[-1][1] <= 5000


async def test_a_language_that_nobody_speaks_is_an_error_and_the_session_goes_on(
    scripted_stack: Stack, acme: Tenant
) -> None:
    async with transcribing(scripted_stack, acme.key) as session:
        wanted = {"type": "transcription", "audio": {"input": {"transcription": {"language": "tlh"}}}}
        await session.connection.session.update(session=wanted)
        assert (await session.until("error")).error.code == "unknown_model"
        for _ in range(4):
            await session.send(SECOND, 24_000)
        await session.until(f"{TRANSCRIPTION}.completed")
        assert session.transcripts == [FIRST]


async def test_a_conversation_is_declined_by_name(scripted_stack: Stack, acme: Tenant) -> None:
    async with transcribing(scripted_stack, acme.key) as session:
        await session.connection.response.create()
        assert (await session.until("error")).error.code == "unsupported"
        await session.connection.session.update(session={"type": "realtime", "instructions": "Talk."})
        error = (await session.until("error", 2)).error
        assert (error.code, error.param) == ("invalid_value", "session.type")
        await session.connection.input_audio_buffer.commit()
        assert (await session.until("error", 3)).error.code == "input_audio_buffer_commit_empty"


async def test_a_bad_key_is_refused_in_openais_words(scripted_stack: Stack) -> None:
    with pytest.raises((openai.OpenAIError, InvalidStatus)) as refused:
        async with transcribing(scripted_stack, "nonsense"):
            pass
    assert isinstance(refused.value, InvalidStatus)
    assert refused.value.response.status_code == 401
    body = json.loads(refused.value.response.body)
    assert body["error"]["code"] == "key_malformed"
    assert body["error"]["type"] == "invalid_request_error"


def browser(stack: Stack, key: str) -> Any:
    offered: Any = ["realtime", f"openai-insecure-api-key.{key}", "openai-beta.realtime-v1"]
    return connect(f"{stack.ws_url}/v1/realtime?intent=transcription", subprotocols=offered, proxy=None)


async def test_a_browser_sends_its_key_as_a_subprotocol_and_speaks_the_beta(
    scripted_stack: Stack, acme: Tenant
) -> None:
    async with browser(scripted_stack, acme.key) as socket:
        assert socket.subprotocol == "realtime"
        created = json.loads(await socket.recv())
        assert created["type"] == "transcription_session.created"
        update = {"input_audio_format": "g711_alaw", "input_audio_transcription": {"model": "whisper-1"}}
        await socket.send(json.dumps({"type": "transcription_session.update", "session": update}))
        updated = json.loads(await socket.recv())
        assert updated["type"] == "transcription_session.updated"
        assert updated["session"]["input_audio_format"] == "g711_alaw"


async def test_a_silent_client_is_left_in_peace_longer_and_then_told(
    scripted_stack: Stack, acme: Tenant
) -> None:
    async with browser(scripted_stack, acme.key) as socket:
        messages, code, reason = await rest(socket)
    assert (code, reason) == (1008, "NET-0001")
    assert messages[-1]["error"]["message"].endswith(f"That is {QUIET_S:g} seconds.")


async def test_rubbish_ends_the_session_by_name_after_a_while(scripted_stack: Stack, acme: Tenant) -> None:
    async with browser(scripted_stack, acme.key) as socket:
        for number in range(20):
            await socket.send("rubbish" if number % 2 else b"rubbish")
        messages, code, reason = await rest(socket)
    assert [message["type"] for message in messages[1:]] == ["error"] * 20
    assert (code, reason) == (1008, "bad_message")
