"""OpenAI's Realtime API, transcription, `/v1/realtime?intent=transcription`: today's events and the beta's.

Its clients put deltas after each other and cannot take one back, so a delta is the text of a final, or of one
of several that make up a turn, and the deltas of an item are exactly its transcript.

An item is what is said between two commits: those of the client, or, while turns are detected, the speaker's
pauses. Everything that a client can hear of is kept up to date in `encode`, which is called in the order in
which the client hears it; what the client has said is kept in `decode`.
"""

from __future__ import annotations

import binascii
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from gateway.about import About
from gateway.dialects.base import Change, Heard
from gateway.dialects.realtime_settings import Refused, Settings, updated
from gateway.dialects.sentences import sentence
from gateway.errors import BadMessage, GatewayError
from gateway.events import (
    Answer,
    AudioReceived,
    ClientMessage,
    Close,
    Finalize,
    Problem,
    SpeechBegan,
    Transcript,
)

UPDATES = ("session.update", "transcription_session.update")
# What a session that also speaks would understand.
OF_CONVERSATIONS = (
    "response.create",
    "response.cancel",
    "conversation.item.create",
    "conversation.item.retrieve",
    "conversation.item.truncate",
    "conversation.item.delete",
    "output_audio_buffer.clear",
)
TRANSCRIPTION = "conversation.item.input_audio_transcription"
# Beginnings of speech that wait for the turns before them to be understood; of more, the first are forgotten.
MAX_BEGAN = 64


class _Event(msgspec.Struct):
    type: str
    event_id: Any = None
    audio: Any = None
    session: Any = None


_decoder = msgspec.json.Decoder(_Event)
_encoder = msgspec.json.Encoder()


@dataclass
class _Item:
    id: str
    text: str = ""
    speaking: bool = False  # the client has been told that speech started
    dropped: bool = False
    until_ms: int | None = None  # where the client committed it


# What the client asked for, to be answered in its turn.


@dataclass(frozen=True)
class _Committed:
    until_ms: int


@dataclass(frozen=True)
class _Cleared:
    flushed: bool


@dataclass(frozen=True)
class _Updated:
    settings: Settings
    type: str


@dataclass(frozen=True)
class _Declined:
    code: str
    message: str
    param: str | None
    event_id: str | None


class Realtime:
    def __init__(self, settings: Settings, *, beta: bool, idle_s: float | None = None) -> None:
        self.idle_s = idle_s
        self._beta = beta
        self._settings = settings  # as far as the client has asked
        self._shown = settings  # as far as it has been told
        self._unheard = 0  # bytes since the last commit
        self._heard_s = 0.0
        self._item: _Item | None = None
        self._committed: deque[_Item] = deque()  # and not complete
        self._last_item: str | None = None
        self._items = self._events = 0
        self._said_ms = 0  # where the last item that is complete ended
        self._began: deque[int] = deque(maxlen=MAX_BEGAN)  # in ms, later than that of the item

    # ---- from the client

    def decode(self, message: str | bytes) -> Iterator[Heard]:
        if isinstance(message, bytes):
            raise BadMessage("Audio comes as base64 in input_audio_buffer.append, not as bytes.")
        try:
            event = _decoder.decode(message)
        except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
            raise BadMessage('A message is a JSON object with a string "type".') from None
        if event.type == "input_audio_buffer.append":
            audio = _audio(event)
            self._unheard += len(audio)
            self._heard_s += len(audio) / self._settings.bytes_per_second
            if audio:
                yield AudioReceived(audio)
        elif event.type == "input_audio_buffer.commit":
            yield from self._commit(event)
        elif event.type == "input_audio_buffer.clear":
            yield Answer(_Cleared(flushed=self._unheard > 0))
            if self._unheard:
                self._unheard = 0
                yield Finalize()
        elif event.type in UPDATES:
            yield from self._update(event)
        elif event.type in OF_CONVERSATIONS:
            yield _decline(
                event, "unsupported", f"{event.type}: this service transcribes; it does not speak."
            )
        else:
            raise _bad(event, f"Type {event.type[:60]!r} is not one that is understood here.")

    def _commit(self, event: _Event) -> Iterator[Heard]:
        if not self._unheard:
            yield _decline(event, "input_audio_buffer_commit_empty", "There is no audio to commit.")
            return
        self._unheard = 0
        yield Answer(_Committed(round(self._heard_s * 1000)))
        yield Finalize()

    def _update(self, event: _Event) -> Iterator[Heard]:
        try:
            settings = updated(self._settings, event.session)
        except Refused as error:
            yield _decline(event, "invalid_value", str(error), error.param)
            return
        if settings.parameters() != self._settings.parameters():
            yield Change(settings.parameters())
        self._settings = settings
        yield Answer(_Updated(settings, f"{event.type}d"))

    # ---- to the client

    def greet(self, about: About) -> Iterable[str]:
        self._about = about
        kind = "transcription_session.created" if self._beta else "session.created"
        return [self._say(kind, session=self._session(self._settings, beta=self._beta))]

    def encode(self, message: ClientMessage) -> Iterable[str]:
        if isinstance(message, Transcript):
            return self._transcript(message)
        if isinstance(message, SpeechBegan):
            return self._speech_began(message)
        if isinstance(message, Answer):
            return self._answer(message.to)
        if isinstance(message, Problem):
            return self._problem(message)
        return ()

    def farewell(self, close: Close) -> Close:
        # Some clients take 1011 for a failure of ours and connect again at once.
        return Close(1008, close.reason) if close.code == 1011 else close

    def _transcript(self, result: Transcript) -> Iterator[str]:
        text = " ".join(word.text for word in result.words)
        if self._committed:
            item = self._committed[0]
            yield from self._delta(item, text)
            if result.from_finalize:
                self._committed.popleft()
                yield from self._complete(item, result.end_ms)
            return
        ends = result.from_finalize or (result.speech_final and self._shown.by_voice)
        if not text and self._item is None:
            return
        item = self._open_item()
        if ends:
            self._item = None
            if item.speaking:
                yield self._say(
                    "input_audio_buffer.speech_stopped", audio_end_ms=result.end_ms, item_id=item.id
                )
            yield from self._commit_item(item)
        yield from self._delta(item, text)
        if ends:
            yield from self._complete(item, result.end_ms)
            yield from self._speech_goes_on(result.end_ms)

    def _speech_began(self, began: SpeechBegan) -> Iterator[str]:
        if not self._shown.by_voice:
            return
        item = self._open_item()
        if item.speaking:
            # After a breath in the same turn, or the next turn before this one was understood: its end tells.
            self._began.append(began.at_ms)
            return
        item.speaking = True
        yield self._say("input_audio_buffer.speech_started", audio_start_ms=began.at_ms, item_id=item.id)

    def _speech_goes_on(self, end_ms: int) -> Iterator[str]:
        """A turn has ended there. The next one may have begun already."""
        while self._began and self._began[0] < end_ms:
            self._began.popleft()
        if self._began:
            yield from self._speech_began(SpeechBegan(self._began.popleft()))

    def _answer(self, to: object) -> Iterator[str]:
        if isinstance(to, _Committed):
            item = self._take_item()
            item.until_ms = to.until_ms
            self._committed.append(item)
            yield from self._commit_item(item)
        elif isinstance(to, _Cleared):
            if to.flushed:
                item = self._take_item()
                item.dropped = True
                self._committed.append(item)
            yield self._say("input_audio_buffer.cleared")
        elif isinstance(to, _Updated):
            self._shown = to.settings
            beta = to.type.startswith("transcription_") or self._beta
            yield self._say(to.type, session=self._session(to.settings, beta=beta))
        elif isinstance(to, _Declined):
            yield self._error("invalid_request_error", to.code, to.message, to.param, to.event_id)

    def _problem(self, problem: Problem) -> Iterator[str]:
        error = problem.error
        kind = _kind(error)
        said = {"type": kind, "code": error.code, "message": sentence(error), "param": None}
        if problem.fatal:
            for item in self._committed:
                if not item.dropped:
                    yield self._say(f"{TRANSCRIPTION}.failed", item_id=item.id, content_index=0, error=said)
            self._committed.clear()
        yield self._error(kind, error.code, sentence(error), None, getattr(error, "event_id", None))

    # ---- items

    def _open_item(self) -> _Item:
        if self._item is None:
            self._items += 1
            self._item = _Item(f"item_{self._about.request_id.replace('-', '')[:16]}{self._items:04d}")
        return self._item

    def _take_item(self) -> _Item:
        """What has been said so far; who is speaking goes on in the next one."""
        item, self._item = self._open_item(), None
        if item.speaking:
            self._open_item().speaking = True
        return item

    def _commit_item(self, item: _Item) -> Iterator[str]:
        before, self._last_item = self._last_item, item.id
        yield self._say("input_audio_buffer.committed", previous_item_id=before, item_id=item.id)
        kind = "created" if self._beta else "added"
        # Without the words that are in it already: they are in the deltas, and `completed` has all of them.
        yield self._say(f"conversation.item.{kind}", previous_item_id=before, item=_shown(item, None))

    def _delta(self, item: _Item, text: str) -> Iterator[str]:
        if text and not item.dropped:
            delta = f" {text}" if item.text else text
            item.text += delta
            yield self._say(f"{TRANSCRIPTION}.delta", item_id=item.id, content_index=0, delta=delta)

    def _complete(self, item: _Item, end_ms: int) -> Iterator[str]:
        if item.until_ms is not None:
            end_ms = item.until_ms
        seconds = max(0, end_ms - self._said_ms) / 1000
        self._said_ms = max(self._said_ms, end_ms)
        if item.dropped:
            return
        yield self._say(
            f"{TRANSCRIPTION}.completed",
            item_id=item.id,
            content_index=0,
            transcript=item.text,
            usage={"type": "duration", "seconds": seconds},
        )
        if not self._beta:
            yield self._say("conversation.item.done", item=_shown(item, item.text))

    # ---- words

    def _session(self, settings: Settings, *, beta: bool) -> dict[str, Any]:
        about = self._about
        return settings.session(
            beta=beta, id=f"sess_{about.request_id}", expires_at=about.expires_at, model=about.model
        )

    def _error(self, kind: str, code: str, message: str, param: str | None, event_id: str | None) -> str:
        error = {"type": kind, "code": code, "message": message, "param": param, "event_id": event_id}
        return self._say("error", error=error)

    def _say(self, kind: str, **fields: object) -> str:
        self._events += 1
        event = {"type": kind, "event_id": f"event_{self._about.request_id[:8]}_{self._events}"}
        return _encoder.encode(event | fields).decode()


def refusal(error: GatewayError, request_id: str) -> dict[str, Any]:
    """The body of a handshake that is refused, as OpenAI's clients read it."""
    said = {"message": error.sentence, "type": _kind(error), "param": None, "code": error.code}
    return {"error": said, "request_id": request_id}


def _kind(error: GatewayError) -> str:
    if error.status == 429:
        return "rate_limit_error"
    return "server_error" if error.status >= 500 else "invalid_request_error"


def _audio(event: _Event) -> bytes:
    try:
        return binascii.a2b_base64(event.audio, strict_mode=True)
    except (TypeError, ValueError):
        raise _bad(event, "The audio of input_audio_buffer.append is base64.") from None


def _event_id(event: _Event) -> str | None:
    return event.event_id[:128] if isinstance(event.event_id, str) else None


def _bad(event: _Event, detail: str) -> BadMessage:
    error = BadMessage(detail)
    error.event_id = _event_id(event)
    return error


def _decline(event: _Event, code: str, message: str, param: str | None = None) -> Answer:
    return Answer(_Declined(code, message, param, _event_id(event)))


def _shown(item: _Item, transcript: str | None) -> dict[str, Any]:
    return {
        "id": item.id,
        "object": "realtime.item",
        "type": "message",
        "status": "completed",
        "role": "user",
        "content": [{"type": "input_audio", "transcript": transcript}],
    }
