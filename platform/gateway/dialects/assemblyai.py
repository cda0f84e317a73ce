"""AssemblyAI's streaming API, `/v3/ws`.

A turn is what is said up to a pause. Its words are in every message about it, also in those that have been
said; `word_is_final` tells which of them will not change. A turn ends once: where AssemblyAI says a turn
first plainly and then once more formatted, it is said formatted at once, so that whoever counts ends counts
each turn once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from gateway.about import About
from gateway.dialects.assemblyai_settings import Settings, updated
from gateway.dialects.base import Change, Heard
from gateway.dialects.sentences import sentence
from gateway.errors import (
    AccessRefused,
    BadMessage,
    BadParameter,
    ClientTooSlow,
    GatewayError,
    IdleTimeout,
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
from gateway.formatting.words import bare_word
from wire.messages import Word

MAX_TEXT_BYTES = 65_536
TYPES = ("Terminate", "ForceEndpoint", "KeepAlive", "UpdateConfiguration")
# Its clients know these numbers and have sentences for them; the name of ours is in the message.
INVALID, SERVER, EXPIRED, UNAUTHORISED, UNPAID, IDLE, TEMPORARY = 3006, 3005, 3008, 4001, 4002, 4031, 1013


class _Message(msgspec.Struct):
    type: str


_kind = msgspec.json.Decoder(_Message)
_object = msgspec.json.Decoder(dict[str, Any])
_encoder = msgspec.json.Encoder()


class AssemblyAI:
    def __init__(
        self,
        settings: Settings,
        *,
        idle_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.idle_s = idle_s
        self._settings = settings
        self._shown = settings
        self._clock = clock
        self._turn = 0
        self._words: list[Word] = []  # of this turn, all final
        self._speaking = False  # the client has been told that speech started
        self._code = SERVER

    # ---- from the client

    def decode(self, message: str | bytes) -> Iterator[Heard]:
        if isinstance(message, bytes):
            if message:
                yield AudioReceived(message)
            return
        if len(message) > MAX_TEXT_BYTES:
            raise BadMessage(f"It has {len(message)} characters; at most {MAX_TEXT_BYTES} are read.")
        try:
            kind = _kind.decode(message).type
        except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
            raise BadMessage('A text message is a JSON object with a string "type".') from None
        if kind == "Terminate":
            yield CloseStream()
        elif kind == "ForceEndpoint":
            yield Finalize()
        elif kind == "KeepAlive":
            yield KeepAlive()
        elif kind == "UpdateConfiguration":
            yield from self._update(message)
        else:
            raise BadMessage(f"Type {kind[:40]!r} is not one of {', '.join(TYPES)}.")

    def _update(self, message: str) -> Iterator[Heard]:
        try:
            settings = updated(self._settings, _object.decode(message))
        except (msgspec.DecodeError, RecursionError):
            raise BadMessage("UpdateConfiguration is not JSON.") from None
        except BadParameter as error:
            raise BadMessage(error.detail) from None
        if settings.parameters() != self._settings.parameters():
            yield Change(settings.parameters())
        self._settings = settings
        yield Answer(settings)

    # ---- to the client

    def greet(self, about: About) -> Iterable[str]:
        self._began_at = self._clock()
        return [_text({"type": "Begin", "id": about.request_id, "expires_at": about.expires_at})]

    def encode(self, message: ClientMessage) -> Iterable[str]:
        if isinstance(message, Transcript):
            return self._transcript(message)
        if isinstance(message, SpeechBegan):
            self._speaking = True
            return [_text({"type": "SpeechStarted", "timestamp": message.at_ms})]
        if isinstance(message, Summary):
            return self._termination(message)
        if isinstance(message, Problem):
            return [_text(self._problem(message))]
        if isinstance(message, Answer) and isinstance(message.to, Settings):
            self._shown = message.to
        return ()

    def farewell(self, close: Close) -> Close:
        return close if close.code in (1000, 1006) else Close(self._code, close.reason)

    def _transcript(self, result: Transcript) -> Iterator[str]:
        if not result.is_final:
            yield self._turn_text(result.words, ends=False)
            return
        self._words += result.words
        ends = result.speech_final or result.from_finalize
        if self._words or (ends and self._speaking):
            yield self._turn_text((), ends=ends)
        if ends:
            self._end_turn()

    def _termination(self, summary: Summary) -> Iterator[str]:
        if self._words:
            yield self._turn_text((), ends=True)
            self._end_turn()
        # Whole numbers: the SDK stops reading at a fraction.
        yield _text(
            {
                "type": "Termination",
                "audio_duration_seconds": round(summary.audio_ms / 1000),
                "session_duration_seconds": round(self._clock() - self._began_at),
                **({"receipt": summary.receipt} if summary.receipt else {}),
            }
        )

    def _problem(self, problem: Problem) -> dict[str, object]:
        error = problem.error
        said = f"{sentence(error)} ({error.code})"
        if not problem.fatal:
            # The SDK hangs up at an Error, and this is none that ends the stream.
            return {"type": "Warning", "warning_code": error_code(error), "warning": said}
        self._code = error_code(error)
        return {"type": "Error", "error_code": self._code, "error": said}

    def _turn_text(self, unsure: Iterable[Word], *, ends: bool) -> str:
        formatted = self._shown.formatted
        words = [_word(word, formatted, final=True) for word in self._words]
        words += [_word(word, formatted, final=False) for word in unsure]
        return _text(
            {
                "type": "Turn",
                "turn_order": self._turn,
                "turn_is_formatted": formatted and ends,
                "end_of_turn": ends,
                "transcript": " ".join(str(word["text"]) for word in words),
                "end_of_turn_confidence": 1.0 if ends else 0.0,
                "words": words,
                "utterance": "",
            }
        )

    def _end_turn(self) -> None:
        if self._words or self._speaking:
            self._turn += 1
        self._words, self._speaking = [], False


def refusal(error: GatewayError, request_id: str) -> dict[str, Any]:
    """The body of a handshake that is refused."""
    return {
        "error": error.sentence,
        "error_code": error_code(error),
        "code": error.code,
        "request_id": request_id,
    }


def error_code(error: GatewayError) -> int:
    """AssemblyAI's number for it, which is also the close code."""
    if isinstance(error, AccessRefused):
        return UNPAID if error.status == 402 else UNAUTHORISED
    if isinstance(error, IdleTimeout):
        return IDLE
    if isinstance(error, StreamTooLong):
        return EXPIRED
    if isinstance(error, ClientTooSlow) or error.status < 500:
        return INVALID
    return TEMPORARY if error.status == 503 else SERVER


def _word(word: Word, formatted: bool, *, final: bool) -> dict[str, object]:
    return {
        "text": word.text if formatted else bare_word(word.text),
        "start": word.start_ms,
        "end": word.end_ms,
        "confidence": round(word.confidence, 4),
        "word_is_final": final,
    }


def _text(body: dict[str, object]) -> str:
    return _encoder.encode(body).decode()
