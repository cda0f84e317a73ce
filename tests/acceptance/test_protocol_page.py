"""docs/protocol.md and docs/parameters.md, held against what the service says to real speech."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection

from gateway.parameters_page import EXAMPLES
from tests import recordings
from tests.acceptance.stack import ROOT, Stack
from tests.acceptance.tenant import Tenant
from tests.documentation import names
from tests.integration.sockets import listening, refusal, rest

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

PAGE = (ROOT / "docs" / "protocol.md").read_text()
MESSAGES = [message for block in names.blocks(PAGE, "json") if "type" in (message := json.loads(block))]
FROM_CLIENT = [message for message in MESSAGES if message["type"] in ("KeepAlive", "Finalize", "Configure")]
FROM_SERVER = {
    message["type"]: message
    for message in MESSAGES
    if message["type"] not in ("KeepAlive", "Finalize", "Configure", "CloseStream")
}
EVERYTHING = "interim_results=true&vad_events=true&utterance_end_ms=1000&encoding=linear16&resume=true"
PACKET_S = 0.1
SPEECH_S, SILENCE_S = 6.0, 3.0
# Named after the model, and so with another name for each.
NAMED_BY_MODEL = {"model_info"}


def shape(value: Any, name: str = "") -> Any:
    """The names and kinds of a message, whatever it says."""
    if isinstance(value, dict):
        # A receipt may be late, and is null then; docs/receipts.md has tests of its own.
        inner = {key: shape(item, key) for key, item in value.items() if key != "receipt"}
        return next(iter(inner.values())) if name in NAMED_BY_MODEL and "arch" not in inner else inner
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return (
        "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__
    )


async def test_every_message_of_the_page_is_as_the_service_says_it(stack: Stack, acme: Tenant) -> None:
    pcm, rate = recordings.pcm("beckett.wav")
    async with listening(stack, acme.key, f"{EVERYTHING}&sample_rate={rate}") as socket:
        await _speak(socket, pcm[: int(SPEECH_S * rate) * 2] + bytes(int(SILENCE_S * rate) * 2), rate)
        for message in FROM_CLIENT:
            await socket.send(json.dumps(message))
        await socket.send('{"type":"Configure","features":{"redact":true}}')
        await socket.send('{"type":"Stop"}')
        await socket.send('{"type":"CloseStream"}')
        said, code, _ = await rest(socket)
    assert code == 1000
    assert {message["type"] for message in said} == set(FROM_SERVER)
    # Only what was wrong on purpose was answered by an error: the page's own messages are read.
    assert [message["code"] for message in said if message["type"] == "Error"] == ["bad_message"]
    for kind, example in FROM_SERVER.items():
        # The page shows a final with words.
        real = [m for m in said if m["type"] == kind and (kind != "Results" or _is_final_with_words(m))]
        assert real, kind
        assert shape(real[-1]) == shape(example)


async def test_partials_have_a_stability_and_nothing_else_beside(stack: Stack, acme: Tenant) -> None:
    pcm, rate = recordings.pcm("beckett.wav")
    async with listening(stack, acme.key, f"{EVERYTHING}&sample_rate={rate}") as socket:
        await _speak(socket, pcm[: int(3 * rate) * 2], rate)
        await socket.send('{"type":"CloseStream"}')
        said, _, _ = await rest(socket)
    partials = [m for m in said if m["type"] == "Results" and not m["is_final"]]
    assert partials
    for partial in partials:
        assert set(partial) - set(FROM_SERVER["Results"]) == {"stability"}
        assert 0 <= partial["stability"] <= 1


@pytest.mark.parametrize("name", list(EXAMPLES))
async def test_every_parameter_of_the_page_is_taken_as_it_is_written(
    stack: Stack, acme: Tenant, name: str
) -> None:
    example = EXAMPLES[name]
    if name == "callback":
        # Nothing is reached from the tests but this machine; the address is checked all the same.
        example = "callback=http://127.0.0.1:8080/transcripts"
    if "TOKEN" in example:
        # Of a stream that was cut off before anything was said.
        example = example.replace("TOKEN", await _cut_off(stack, acme)).replace("last_seq=41", "last_seq=-1")
    async with listening(stack, acme.key, example) as socket:
        await socket.send('{"type":"CloseStream"}')
        said, code, reason = await rest(socket)
    if code != 1000:  # no audio came, which a container must not be
        assert (code, reason) == (1008, "no_audio")
    assert said


async def test_a_refusal_is_as_the_page_shows_it(stack: Stack) -> None:
    (shown,) = [block for block in names.blocks(PAGE, "json") if "err_code" in block]
    _, body, headers = await refusal(stack)
    assert set(body) == set(json.loads(shown))
    assert headers["dg-error"] == body["err_msg"]


def test_the_page_has_an_example_of_every_message() -> None:
    headings = set(re.findall(r"^### (\w+)$", PAGE, re.MULTILINE))
    assert headings == set(FROM_SERVER)


async def _cut_off(stack: Stack, acme: Tenant) -> str:
    async with listening(stack, acme.key, "encoding=linear16") as socket:
        socket.transport.abort()
    assert socket.response is not None
    return str(socket.response.headers["stenogate-resume-token"])


def _is_final_with_words(message: dict[str, Any]) -> bool:
    return bool(message["is_final"] and message["channel"]["alternatives"][0]["words"])


async def _speak(socket: ClientConnection, pcm: bytes, rate: int) -> None:
    """At the pace of speech: partials are for those who speak, not for those who send a file."""
    packet = int(rate * PACKET_S) * 2
    for offset in range(0, len(pcm), packet):
        await socket.send(pcm[offset : offset + packet])
        await asyncio.sleep(PACKET_S)
