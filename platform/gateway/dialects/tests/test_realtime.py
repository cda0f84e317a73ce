from __future__ import annotations

import base64
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai._models import validate_type
from openai.types.realtime import RealtimeServerEvent

from gateway.about import About
from gateway.dialects.base import Change, Heard
from gateway.dialects.realtime import MAX_BEGAN, OF_CONVERSATIONS, TRANSCRIPTION, Realtime, refusal
from gateway.dialects.realtime_settings import Settings
from gateway.errors import BadMessage, IdleTimeout, NoCapacity, WorkerLost
from gateway.events import (
    Answer,
    AudioReceived,
    ClientMessage,
    Close,
    Finalize,
    Problem,
    SpeechBegan,
    Summary,
    Transcript,
    UtteranceEnd,
)
from wire.messages import Word

ABOUT = About(
    "00000000-aaaa-4000-8000-000000000001", "eu-1", "w", "m", "1", "a", "now", expires_at=1_900_000_000
)
AUDIO = {"type": "input_audio_buffer.append", "audio": base64.b64encode(b"\1\2").decode()}
NO_TURNS = {"type": "session.update", "session": {"audio": {"input": {"turn_detection": None}}}}


def words(text: str) -> tuple[Word, ...]:
    return tuple(Word(word, 0, 1, 0.9) for word in text.split())


def final(text: str, end_ms: int = 1000, **marks: bool) -> Transcript:
    return Transcript(seq=0, words=words(text), start_ms=0, end_ms=end_ms, is_final=True, **marks)


class Client:
    """Both ends of the dialect, without a stream between them: what it says it hears at once."""

    def __init__(self, *, beta: bool = False) -> None:
        self.dialect = Realtime(Settings(), beta=beta)
        self.events: list[dict[str, Any]] = []
        self._hear(self.dialect.greet(ABOUT))

    def _hear(self, texts: Any) -> None:
        for text in texts:
            self.events.append(json.loads(text))
            if not self.dialect._beta and not self.events[-1]["type"].startswith("transcription_"):
                # The SDK's own types, strictly: it would pass on whatever comes.
                validate_type(type_=RealtimeServerEvent, value=self.events[-1])

    def say(self, message: object) -> list[Heard]:
        heard = list(self.dialect.decode(json.dumps(message)))
        for one in heard:
            if isinstance(one, Answer):
                self.hear(one)
        return heard

    def hear(self, message: ClientMessage) -> list[str]:
        before = len(self.events)
        self._hear(self.dialect.encode(message))
        return [event["type"] for event in self.events[before:]]

    def deltas(self, item: str) -> str:
        return "".join(
            e["delta"] for e in self.events if e["type"].endswith(".delta") and e["item_id"] == item
        )

    def completed(self) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"].endswith(".completed")]


def test_the_first_event_shows_the_session() -> None:
    (created,) = Client().events
    assert created["type"] == "session.created"
    assert created["session"]["type"] == "transcription"
    assert created["session"]["expires_at"] == 1_900_000_000
    assert created["session"]["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": 24_000}
    assert created["session"]["audio"]["input"]["turn_detection"]["type"] == "server_vad"
    (created,) = Client(beta=True).events
    assert created["type"] == "transcription_session.created"
    assert created["session"]["input_audio_format"] == "pcm16"


def test_a_turn_from_the_first_sound_to_its_transcript() -> None:
    client = Client()
    assert client.say(AUDIO) == [AudioReceived(b"\1\2")]
    assert client.hear(SpeechBegan(120)) == ["input_audio_buffer.speech_started"]
    assert client.hear(SpeechBegan(500)) == []
    assert client.hear(final("One two,")) == [f"{TRANSCRIPTION}.delta"]
    assert client.hear(final("three.", 2500, speech_final=True)) == [
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        f"{TRANSCRIPTION}.delta",
        f"{TRANSCRIPTION}.completed",
        "conversation.item.done",
    ]
    item = client.events[1]["item_id"]
    assert all(event.get("item_id", item) == item for event in client.events)
    (completed,) = client.completed()
    assert completed["transcript"] == "One two, three." == client.deltas(item)
    assert completed["usage"] == {"type": "duration", "seconds": 2.5}
    assert len({event["event_id"] for event in client.events}) == len(client.events)
    client.hear(final("Four.", 4000, speech_final=True))
    assert client.completed()[1]["usage"]["seconds"] == 1.5
    assert client.completed()[1]["item_id"] != item
    committed = [event for event in client.events if event["type"] == "input_audio_buffer.committed"]
    assert [event["previous_item_id"] for event in committed] == [None, item]


def test_speech_that_was_none_is_stopped_all_the_same() -> None:
    client = Client()
    client.hear(SpeechBegan(120))
    assert "input_audio_buffer.speech_stopped" in client.hear(final("", speech_final=True))
    assert client.completed()[0]["transcript"] == ""
    assert client.hear(final("", speech_final=True)) == []


def test_speech_that_began_before_the_last_turn_was_understood_is_told_when_it_was() -> None:
    """The worker hears who speaks before it understands what was said."""
    client = Client()
    for at_ms in (120, 600, 2100, 2500, 4200):
        client.hear(SpeechBegan(at_ms))
    for text, end_ms in (("One two.", 2000), ("Three.", 4000), ("Four.", 5000)):
        client.hear(final(text, end_ms, speech_final=True))
    started = [e for e in client.events if e["type"] == "input_audio_buffer.speech_started"]
    stopped = [e for e in client.events if e["type"] == "input_audio_buffer.speech_stopped"]
    assert [event["audio_start_ms"] for event in started] == [120, 2100, 4200]
    items = [event["item_id"] for event in client.completed()]
    assert [e["item_id"] for e in started] == [e["item_id"] for e in stopped] == items
    for at_ms in range(6000, 7000):
        client.hear(SpeechBegan(at_ms))
    assert len(client.dialect._began) == MAX_BEGAN


def test_without_turn_detection_the_client_says_where_a_turn_ends() -> None:
    client = Client()
    change, _ = client.say(NO_TURNS)
    assert isinstance(change, Change)
    assert change.parameters.endpointing_ms == 0
    assert client.events[-1]["session"]["audio"]["input"]["turn_detection"] is None
    client.say(AUDIO)
    assert client.hear(SpeechBegan(120)) == []
    assert client.hear(final("One.", speech_final=True)) == [f"{TRANSCRIPTION}.delta"]
    heard = client.say({"type": "input_audio_buffer.commit"})
    assert heard[-1] == Finalize()
    assert [event["type"] for event in client.events[-2:]] == [
        "input_audio_buffer.committed",
        "conversation.item.added",
    ]
    client.say(AUDIO)
    client.say({"type": "input_audio_buffer.commit"})
    assert client.completed() == []
    client.hear(final("Two."))
    client.hear(final("Three.", from_finalize=True))
    client.hear(final("", from_finalize=True))
    assert [event["transcript"] for event in client.completed()] == ["One. Two. Three.", ""]
    for event in client.completed():
        assert client.deltas(event["item_id"]) == event["transcript"]


def test_models_that_know_no_turns_have_none_unless_they_are_asked_for() -> None:
    client = Client()
    session: dict[str, Any] = {"audio": {"input": {"transcription": {"model": "gpt-realtime-whisper"}}}}
    change, _ = client.say({"type": "session.update", "session": session})
    assert isinstance(change, Change)
    assert change.parameters.endpointing_ms == 0
    assert change.parameters.options().model == ""
    session["audio"]["input"]["turn_detection"] = {"type": "server_vad", "silence_duration_ms": 700}
    change, _ = client.say({"type": "session.update", "session": session})
    assert isinstance(change, Change)
    assert change.parameters.endpointing_ms == 700


def test_a_commit_in_the_middle_of_speech_goes_on_in_the_next_item() -> None:
    client = Client()
    client.say(AUDIO)
    client.hear(SpeechBegan(0))
    client.say({"type": "input_audio_buffer.commit"})
    client.hear(final("One", from_finalize=True))
    assert client.hear(final("two.", speech_final=True))[0] == "input_audio_buffer.speech_stopped"
    assert [event["transcript"] for event in client.completed()] == ["One", "two."]


def test_what_was_cleared_is_never_complete() -> None:
    client = Client()
    client.say(AUDIO)
    client.hear(final("One."))
    assert client.say({"type": "input_audio_buffer.clear"})[-1] == Finalize()
    assert client.events[-1]["type"] == "input_audio_buffer.cleared"
    assert client.hear(final("Two.", from_finalize=True)) == []
    client.hear(final("Three.", speech_final=True))
    assert [event["transcript"] for event in client.completed()] == ["Three."]
    client = Client()
    assert not any(isinstance(one, Finalize) for one in client.say({"type": "input_audio_buffer.clear"}))


def test_nothing_cannot_be_committed() -> None:
    client = Client()
    heard = client.say({"type": "input_audio_buffer.commit", "event_id": "mine"})
    assert not any(isinstance(one, Finalize) for one in heard)
    error = client.events[-1]["error"]
    assert (error["code"], error["event_id"]) == ("input_audio_buffer_commit_empty", "mine")


@pytest.mark.parametrize("kind", OF_CONVERSATIONS)
def test_what_only_a_conversation_has_is_declined(kind: str) -> None:
    client = Client()
    client.say({"type": kind})
    assert client.events[-1]["error"]["code"] == "unsupported"


def test_the_betas_update_is_answered_in_its_shape() -> None:
    client = Client(beta=True)
    session = {
        "input_audio_format": "g711_ulaw",
        "input_audio_transcription": {"model": "whisper-1", "language": "en", "prompt": "Names."},
        "turn_detection": {"type": "server_vad", "silence_duration_ms": 650},
    }
    change, _ = client.say({"type": "transcription_session.update", "session": session})
    assert isinstance(change, Change)
    assert (change.parameters.encoding, change.parameters.sample_rate) == ("mulaw", 8000)
    assert (change.parameters.language, change.parameters.endpointing_ms) == ("en", 650)
    updated = client.events[-1]
    assert updated["type"] == "transcription_session.updated"
    assert updated["session"]["input_audio_format"] == "g711_ulaw"
    assert updated["session"]["turn_detection"]["silence_duration_ms"] == 650
    client.hear(final("Hi.", speech_final=True))
    kinds = [event["type"] for event in client.events]
    assert "conversation.item.created" in kinds
    assert "conversation.item.done" not in kinds


def test_an_update_that_was_not_possible_leaves_the_session_as_it_was() -> None:
    client = Client()
    update = {
        "type": "session.update",
        "session": {"audio": {"input": {"transcription": {"language": "tlh"}}}},
    }
    heard = iter(client.dialect.decode(json.dumps(update)))
    assert isinstance(next(heard), Change)  # and the stream says no
    client.say({"type": "session.update", "session": {}})
    assert client.events[-1]["session"]["audio"]["input"]["transcription"]["language"] is None


def test_errors_have_openais_shape() -> None:
    client = Client()
    client.say(AUDIO)
    client.say({"type": "input_audio_buffer.commit"})
    with pytest.raises(BadMessage) as bad:
        list(client.dialect.decode('{"type":"what","event_id":"e1"}'))
    assert client.hear(Problem(bad.value, fatal=False)) == ["error"]
    assert client.events[-1]["error"]["event_id"] == "e1"
    assert client.hear(Problem(WorkerLost())) == [f"{TRANSCRIPTION}.failed", "error"]
    assert client.events[-1]["error"]["type"] == "server_error"
    client.hear(Problem(IdleTimeout("That is 300 seconds.")))
    assert "KeepAlive" not in client.events[-1]["error"]["message"]
    assert refusal(NoCapacity(), "id")["error"]["code"] == "no_capacity"


def test_it_leaves_without_a_code_that_makes_clients_come_back_at_once() -> None:
    dialect = Realtime(Settings(), beta=False)
    assert dialect.farewell(Close(1011, "NET-0001")) == Close(1008, "NET-0001")
    assert dialect.farewell(Close(4503, "worker_lost")) == Close(4503, "worker_lost")


def test_audio_is_base64_text() -> None:
    dialect = Realtime(Settings(), beta=False)
    for audio in (None, 1, [], "a", "ä", "%%%%"):
        with pytest.raises(BadMessage, match="base64"):
            list(dialect.decode(json.dumps(AUDIO | {"audio": audio})))
    with pytest.raises(BadMessage, match="base64"):
        list(dialect.decode(b"\1\2"))
    assert list(dialect.decode(json.dumps(AUDIO | {"audio": ""}))) == []


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ('{"type":' + "[" * 500_000, "JSON object"),
        ('{"type":"session.update","session":' + '{"audio":' * 100_000, "JSON object"),
        ("[]", "JSON object"),
        ("", "JSON object"),
        ('{"type":1}', "JSON object"),
        ('{"type":"\ud800"}', "JSON object"),
        (json.dumps({"type": "sing" * 100_000, "event_id": [1]}), "Type 'singsing"),
        (json.dumps(AUDIO | {"audio": "A" * 1_000_001}), "base64"),
    ],
)
def test_what_is_no_event_is_refused_by_name(message: str, why: str) -> None:
    with pytest.raises(BadMessage, match=why) as refused:
        list(Realtime(Settings(), beta=False).decode(message))
    assert len(refused.value.sentence) < 300


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from(
    [
        *("session", "audio", "input", "format", "transcription", "turn_detection", "type", "rate", "model"),
        *(
            "input_audio_format",
            "include",
            "keywords",
            "languages",
            "language",
            "silence_duration_ms",
            "prompt",
        ),
    ]
)
SESSIONS = st.recursive(JSON, lambda inner: st.dictionaries(FIELDS, inner, max_size=5), max_leaves=12)
TYPES = st.sampled_from(
    [
        *("input_audio_buffer.append", "input_audio_buffer.commit", "input_audio_buffer.clear"),
        *("session.update", "transcription_session.update", "response.create"),
    ]
)
SAID = st.one_of(
    st.text(max_size=100),
    st.binary(max_size=50),
    JSON.map(json.dumps),
    st.builds(lambda kind, session: json.dumps({"type": kind, "session": session, "x": 1}), TYPES, SESSIONS),
    st.just(json.dumps(AUDIO)),
)


@given(st.lists(SAID, max_size=8))
def test_any_message_is_understood_or_refused(messages: list[str | bytes]) -> None:
    client = Client()
    for message in messages:
        with suppress(BadMessage):
            for heard in client.dialect.decode(message):
                if isinstance(heard, Answer):
                    client.hear(heard)
                elif isinstance(heard, Change):
                    assert heard.parameters.options()


HEARD = st.one_of(
    st.builds(
        lambda text, end, speech, asked: final(text, end, speech_final=speech, from_finalize=asked),
        st.text("ab ", max_size=6), st.integers(0, 9999), st.booleans(), st.booleans(),
    ),
    st.builds(SpeechBegan, st.integers(0, 9999)),
    st.just(UtteranceEnd(1)),
    st.just(Summary(1, "", 1)),
    st.sampled_from([json.dumps(AUDIO), json.dumps(NO_TURNS), '{"type":"input_audio_buffer.commit"}',
                     '{"type":"input_audio_buffer.clear"}']),
)  # fmt: skip


@given(st.lists(HEARD, max_size=30))
def test_the_deltas_of_an_item_are_its_transcript(story: list[Any]) -> None:
    client = Client()
    for one in story:
        if isinstance(one, str):
            client.say(json.loads(one))
        else:
            client.hear(one)
    seen = [event["item_id"] for event in client.completed()]
    assert len(seen) == len(set(seen))
    for event in client.completed():
        assert client.deltas(event["item_id"]) == event["transcript"]
    committed = [event["item_id"] for event in client.events if event["type"].endswith(".committed")]
    assert set(seen) <= set(committed)
