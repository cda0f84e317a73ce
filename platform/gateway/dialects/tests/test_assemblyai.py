from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from assemblyai.streaming.v3._base import _BaseStreamingClient
from assemblyai.streaming.v3.models import TerminationEvent
from hypothesis import given
from hypothesis import strategies as st

from gateway.about import About
from gateway.dialects.assemblyai import MAX_TEXT_BYTES, AssemblyAI, error_code, refusal
from gateway.dialects.assemblyai_settings import Settings
from gateway.dialects.base import Change
from gateway.errors import (
    AccessRefused,
    BadAudio,
    BadMessage,
    GatewayDraining,
    IdleTimeout,
    InternalError,
    StreamTooLong,
)
from gateway.events import (
    Answer,
    AudioReceived,
    ClientMessage,
    Close,
    CloseStream,
    Finalize,
    KeepAlive,
    Problem,
    SpeechBegan,
    Summary,
    Transcript,
)
from tenants.errors import KeyRevoked, PrepaidUsedUp
from wire.messages import Word

ABOUT = About("id-1", "eu-1", "w", "m", "1", "a", "now", expires_at=1_900_000_000)


def transcript(text: str, *, is_final: bool = True, **marks: bool) -> Transcript:
    words = tuple(Word(word, 100 * n, 100 * n + 90, 0.9) for n, word in enumerate(text.split()))
    return Transcript(seq=0, words=words, start_ms=0, end_ms=1, is_final=is_final, **marks)


class Client:
    def __init__(self, settings: Settings | None = None) -> None:
        times = iter([100.0, 103.6])
        self.dialect = AssemblyAI(settings or Settings(format_turns=True), clock=lambda: next(times))
        (begin,) = map(json.loads, self.dialect.greet(ABOUT))
        self.begin = begin

    def hear(self, message: ClientMessage) -> list[dict[str, Any]]:
        found = [json.loads(text) for text in self.dialect.encode(message)]
        # Strictly, and as the SDK does it: it would stop reading at what it cannot parse.
        assert None not in [_BaseStreamingClient._parse_message(one) for one in found]
        return found

    def turn(self, message: Transcript) -> dict[str, Any]:
        (found,) = self.hear(message)
        return found


@pytest.mark.parametrize(
    ("message", "heard"),
    [
        (b"\1\2", [AudioReceived(b"\1\2")]),
        (b"", []),
        ('{"type":"Terminate"}', [CloseStream()]),
        ('{"type":"ForceEndpoint","more":1}', [Finalize()]),
        ('{"type":"KeepAlive"}', [KeepAlive()]),
    ],
)
def test_commands(message: str | bytes, heard: list[object]) -> None:
    assert list(Client().dialect.decode(message)) == heard


def test_it_begins() -> None:
    assert Client().begin == {"type": "Begin", "id": "id-1", "expires_at": 1_900_000_000}


def test_a_turn_grows_and_ends_once() -> None:
    client = Client()
    assert client.hear(SpeechBegan(120)) == [{"type": "SpeechStarted", "timestamp": 120}]
    partial = client.turn(transcript("One too", is_final=False))
    assert (partial["transcript"], partial["end_of_turn"]) == ("One too", False)
    assert [word["word_is_final"] for word in partial["words"]] == [False, False]
    client.turn(transcript("One two,"))
    growing = client.turn(transcript("three", is_final=False))
    assert growing["transcript"] == "One two, three"
    assert [word["word_is_final"] for word in growing["words"]] == [True, True, False]
    ended = client.turn(transcript("three.", speech_final=True))
    assert (ended["transcript"], ended["end_of_turn"], ended["turn_is_formatted"]) == (
        "One two, three.",
        True,
        True,
    )
    assert {partial["turn_order"], growing["turn_order"], ended["turn_order"]} == {0}
    after = client.turn(transcript("Four.", from_finalize=True))
    assert (after["turn_order"], after["transcript"], after["end_of_turn"]) == (1, "Four.", True)


def test_plain_turns_are_words_without_marks() -> None:
    client = Client(Settings(format_turns=False))
    turn = client.turn(transcript("Hi, Bob!", speech_final=True))
    assert (turn["transcript"], turn["turn_is_formatted"]) == ("hi bob", False)
    (answer,) = client.dialect.decode('{"type":"UpdateConfiguration","format_turns":true}')
    assert isinstance(answer, Answer)
    client.hear(answer)
    assert client.turn(transcript("Hi, Bob!", speech_final=True))["transcript"] == "Hi, Bob!"


def test_a_turn_of_nothing_ends_only_what_had_begun() -> None:
    client = Client()
    assert client.hear(transcript("", from_finalize=True)) == []
    client.hear(SpeechBegan(1))
    assert client.turn(transcript("", speech_final=True))["end_of_turn"]
    assert client.turn(transcript("One.", speech_final=True))["turn_order"] == 1


def test_the_end_is_whole_seconds_and_ends_the_turn() -> None:
    client = Client()
    client.hear(transcript("One."))
    turn, termination = client.hear(Summary(2400, "", 2400))
    assert turn["end_of_turn"]
    assert termination == {"type": "Termination", "audio_duration_seconds": 2, "session_duration_seconds": 4}
    assert isinstance(termination["session_duration_seconds"], int)
    assert client.dialect.farewell(Close(1000)) == Close(1000)


def test_the_end_has_the_receipt_and_the_sdk_reads_past_it() -> None:
    receipt = {"body": "{}", "key": "k", "signature": "s", "hash": "h"}
    (termination,) = Client().hear(Summary(2400, "", 2400, receipt))
    assert termination["receipt"] == receipt
    assert TerminationEvent.model_validate(termination).audio_duration_seconds == 2


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (AccessRefused(KeyRevoked()), 4001),
        (AccessRefused(PrepaidUsedUp()), 4002),
        (IdleTimeout(), 4031),
        (StreamTooLong(), 3008),
        (BadAudio(), 3006),
        (GatewayDraining(), 1013),
        (InternalError(), 3005),
    ],
)
def test_errors_have_assemblyais_numbers_and_our_names(error: Any, code: int) -> None:
    client = Client()
    (said,) = client.hear(Problem(error))
    assert (said["type"], said["error_code"]) == ("Error", code)
    assert error.code in said["error"]
    assert client.dialect.farewell(Close(error.close_code, error.code)) == Close(code, error.code)
    assert refusal(error, "id")["error_code"] == code == error_code(error)


def test_one_bad_message_is_a_warning_and_does_not_make_the_client_hang_up() -> None:
    (said,) = Client().hear(Problem(BadMessage("So."), fatal=False))
    assert said["type"] == "Warning"


def test_a_change_of_silence_is_a_change_of_the_stream() -> None:
    update = '{"type":"UpdateConfiguration","min_turn_silence":700,"keyterms_prompt":["Acme"],"new":{}}'
    change, answer = Client().dialect.decode(update)
    assert isinstance(change, Change)
    assert (change.parameters.endpointing_ms, change.parameters.keyterms) == (700, ("Acme",))
    assert isinstance(answer, Answer)
    with pytest.raises(BadMessage, match="min_turn_silence"):
        list(Client().dialect.decode('{"type":"UpdateConfiguration","min_turn_silence":"long"}'))


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (json.dumps({"type": "KeepAlive", "x": "x" * MAX_TEXT_BYTES}), "at most 65536"),
        ('{"type":' + "[" * 60_000, "JSON object"),
        ('{"type":"UpdateConfiguration","format_turns":' + "[" * 60_000, "JSON"),
        ("[]", "JSON object"),
        ("", "JSON object"),
        ('{"type":1}', "JSON object"),
        ('{"type":"\ud800"}', "JSON object"),
        (json.dumps({"type": "Sing" * 1000}), "Type 'SingSing"),
    ],
)
def test_what_is_no_message_is_refused_by_name(message: str, why: str) -> None:
    with pytest.raises(BadMessage, match=why) as refused:
        list(Client().dialect.decode(message))
    assert len(refused.value.sentence) < 300


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=8,
)
UPDATES = st.dictionaries(
    st.sampled_from(["format_turns", "keyterms_prompt", "min_turn_silence", "language_codes", "x"]), JSON
).map(lambda fields: json.dumps({**fields, "type": "UpdateConfiguration"}))


@given(st.text(max_size=100) | st.binary(max_size=50) | JSON.map(json.dumps) | UPDATES)
def test_any_message_is_understood_or_refused(message: str | bytes) -> None:
    with suppress(BadMessage):
        list(Client().dialect.decode(message))
