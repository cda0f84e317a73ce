"""`/v3/ws` on the whole service: AssemblyAI's SDK, and what a careless client sends."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from assemblyai.streaming.v3 import StreamingSessionParameters
from websockets.asyncio.client import connect

from inference_worker.engines.scripted import SENTENCES
from tests.acceptance.assemblyai_sdk import send, streaming
from tests.acceptance.stack import Stack, wait_for
from tests.acceptance.tenant import Tenant, usage
from tests.integration.conftest import QUIET_S
from tests.integration.sockets import SECOND, refusal, rest

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]

PLAIN = "the quick brown fox jumps over the lazy dog"


def test_turns_grow_and_end(scripted_stack: Stack, acme: Tenant) -> None:
    with streaming(scripted_stack, acme.key, format_turns=True) as (client, heard):
        send(client, SECOND * 7, 16_000)
        wait_for(lambda: len(heard.ended) == 2, 30, "two turns")
    assert heard.errors == []
    assert heard.events[0].type == "Begin"
    assert heard.of_type("SpeechStarted")
    assert [turn.transcript for turn in heard.ended[:2]] == list(SENTENCES[:2])
    assert [turn.turn_order for turn in heard.ended] == list(range(len(heard.ended)))
    assert any(not turn.end_of_turn for turn in heard.of_type("Turn"))
    assert all(word.word_is_final for turn in heard.ended for word in turn.words)
    termination = heard.events[-1]
    assert (termination.type, termination.audio_duration_seconds) == ("Termination", 7)
    assert usage(scripted_stack, acme, heard.events[0].id, 7000)[-1][1] == 7000


def test_an_endpoint_may_be_forced_and_the_form_changed(scripted_stack: Stack, acme: Tenant) -> None:
    with streaming(scripted_stack, acme.key) as (client, heard):
        send(client, SECOND * 2, 16_000)
        client.force_endpoint()
        wait_for(lambda: len(heard.ended) == 1, 30, "the forced end")
        client.set_params(StreamingSessionParameters(format_turns=True, min_turn_silence=900))
        send(client, SECOND * 3, 16_000)
        wait_for(lambda: len(heard.ended) == 2, 30, "the end of the sentence")
    assert heard.errors == []
    assert [turn.transcript for turn in heard.ended[:2]] == [
        "the quick brown fox jumps",
        "over the lazy dog.",
    ]
    assert [turn.turn_is_formatted for turn in heard.ended[:2]] == [False, True]
    assert usage(scripted_stack, acme, heard.events[0].id, 5000)[-1][1] == 5000


def test_a_bad_key_is_refused_with_a_status(scripted_stack: Stack) -> None:
    with streaming(scripted_stack, "nonsense") as (_, heard):
        pass
    assert [error.code for error in heard.errors] == [401]


async def test_refusals_have_assemblyais_shape(scripted_stack: Stack, acme: Tenant) -> None:
    key = {"additional_headers": {"Authorization": acme.key}}
    cases: list[tuple[str, dict[str, Any], int, str]] = [
        ("", {}, 401, "key_missing"),
        ("?token=nonsense", {}, 401, "key_malformed"),
        ("?encoding=mp3", key, 400, "bad_parameter"),
        ("?redact_pii=true", key, 400, "bad_parameter"),
        ("?language_code=tlh", key, 400, "unknown_model"),
    ]
    for query, options, status, code in cases:
        got, body, _ = await refusal(scripted_stack, f"/v3/ws{query}", **options)
        assert (got, body["code"]) == (status, code)
        assert body["error"].endswith(".")


def plain(stack: Stack, key: str, query: str = "") -> Any:
    return connect(f"{stack.ws_url}/v3/ws?token={key}{query}", proxy=None)


async def test_an_unknown_message_is_a_warning_and_many_are_an_error(
    scripted_stack: Stack, acme: Tenant
) -> None:
    async with plain(scripted_stack, acme.key) as socket:
        await socket.send('{"type":"Sing"}')
        assert json.loads(await socket.recv())["type"] == "Begin"
        assert json.loads(await socket.recv())["type"] == "Warning"
        for _ in range(19):
            await socket.send("rubbish")
        messages, code, reason = await rest(socket)
    assert (messages[-1]["type"], messages[-1]["error_code"]) == ("Error", 3006)
    assert (code, reason) == (3006, "bad_message")


async def test_a_client_says_itself_how_long_it_may_be_silent(scripted_stack: Stack, acme: Tenant) -> None:
    async with (
        plain(scripted_stack, acme.key) as first,
        plain(scripted_stack, acme.key, "&inactivity_timeout=7") as second,
    ):
        (said, code, _), (later, _, _) = await asyncio.gather(rest(first), rest(second))
    assert code == 4031
    assert said[-1]["error"].startswith(
        f"Nothing came from the client for too long. That is {QUIET_S:g} seconds."
    )
    assert "7 seconds" in later[-1]["error"]
