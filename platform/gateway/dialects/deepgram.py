"""Deepgram's `/v1/listen`: our native protocol.

Our additions are fields of its known messages, never new types, because its SDKs hand an unknown type to
the customer's callback as nothing at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, cast

import msgspec

from gateway.about import About
from gateway.dialects import configure
from gateway.dialects.base import Change, Heard
from gateway.dialects.configure import Configure
from gateway.errors import BadMessage, FeatureNotConfigurable, TooManyKeyterms
from gateway.events import (
    Answer,
    AudioReceived,
    ClientMessage,
    Close,
    CloseStream,
    Command,
    Finalize,
    KeepAlive,
    Problem,
    SpeechBegan,
    Summary,
    Transcript,
    UtteranceEnd,
    Welcome,
)
from gateway.formatting.words import bare_word
from gateway.parameters import ListenParameters
from wire.messages import Word

MAX_TEXT_BYTES = 65_536
_COMMANDS: dict[str, Command] = {
    "KeepAlive": KeepAlive(),
    "Finalize": Finalize(),
    "CloseStream": CloseStream(),
}


class _Typed(msgspec.Struct):
    type: str


_decoder = msgspec.json.Decoder(_Typed)
_encoder = msgspec.json.Encoder()


class Deepgram:
    """The dialect of one stream."""

    idle_s: float | None = None

    def __init__(self, parameters: ListenParameters) -> None:
        self._parameters = parameters

    def greet(self, about: About) -> Iterable[str]:
        self._about = about
        return ()

    def decode(self, message: str | bytes) -> Iterable[Heard]:
        if isinstance(message, str):
            heard = decode_text(message)
            return self._configure(heard) if isinstance(heard, Configure) else (heard,)
        # An empty frame is how Deepgram's older clients say CloseStream.
        return (AudioReceived(message) if message else CloseStream(),)

    def _configure(self, asked: Configure) -> Iterable[Heard]:
        try:
            parameters = configure.applied(asked, self._parameters)
        except (FeatureNotConfigurable, TooManyKeyterms) as error:
            yield Answer(configure.failure(error))
            return
        yield Change(parameters)
        self._parameters = parameters
        yield Answer(configure.success(asked, parameters))

    def encode(self, message: ClientMessage) -> Iterable[str]:
        if isinstance(message, Answer):
            body = cast(dict[str, object], message.to)
            return (_encoder.encode({**body, "request_id": self._about.request_id}).decode(),)
        return (encode(message, self._about),)

    def farewell(self, close: Close) -> Close:
        return close


def decode_text(text: str) -> Command | Configure:
    if len(text) > MAX_TEXT_BYTES:
        raise BadMessage(f"It has {len(text)} characters; at most {MAX_TEXT_BYTES} are read.")
    try:
        kind = _decoder.decode(text).type
    except (msgspec.DecodeError, RecursionError):
        raise BadMessage('A text message is a JSON object with a string "type".') from None
    if kind == "Configure":
        return configure.read(text)
    if kind not in _COMMANDS:
        raise BadMessage(f"Type {kind[:40]!r} is not one of {', '.join(_COMMANDS)}, Configure.")
    return _COMMANDS[kind]


def encode(message: ClientMessage, about: About) -> str:
    return _encoder.encode(_body(message, about)).decode()


def _body(message: ClientMessage, about: About) -> dict[str, object]:
    if isinstance(message, Transcript):
        return _results(message, about)
    if isinstance(message, Summary):
        return summary_body(message, about)
    if isinstance(message, SpeechBegan):
        return {
            "type": "SpeechStarted",
            "channel": [message.channel, about.channels],
            "timestamp": seconds(message.at_ms),
        }
    if isinstance(message, UtteranceEnd):
        return {
            "type": "UtteranceEnd",
            "channel": [message.channel, about.channels],
            "last_word_end": seconds(message.last_word_end_ms),
        }
    if isinstance(message, Problem):
        return error_body(message, about.request_id)
    if isinstance(message, Welcome):
        return _welcome(message, about)
    raise TypeError(f"{type(message).__name__} is not said here")


def _results(result: Transcript, about: About) -> dict[str, object]:
    words = [word_body(word) for word in result.words]
    alternative = {
        "transcript": " ".join(str(word["punctuated_word"]) for word in words),
        "confidence": confidence_of(result.words),
        "words": words,
    }
    body: dict[str, object] = {
        "type": "Results",
        "channel_index": [result.channel, about.channels],
        "duration": seconds(result.end_ms - result.start_ms),
        "start": seconds(result.start_ms),
        "is_final": result.is_final,
        "speech_final": result.speech_final,
        "from_finalize": result.from_finalize,
        "seq": result.seq,
        "channel": {"alternatives": [alternative]},
        "metadata": {
            "request_id": about.request_id,
            "model_info": _model_info(about),
            "model_uuid": about.model,
            "region": about.region,
            "worker": about.worker,
            "billed_seconds": seconds(result.billed_ms),
        },
    }
    if result.resume_token:
        body["resume_token"] = result.resume_token
    if result.stability is not None:
        body["stability"] = round(result.stability, 3)
    return body


def _welcome(message: Welcome, about: About) -> dict[str, object]:
    """A type of its own: only clients get it that have said that they know it."""
    return {
        "type": "Resume",
        "request_id": about.request_id,
        "resume_token": message.resume_token,
        "resume_from_ms": message.resume_from_ms,
        "next_seq": message.next_seq,
        "window_s": message.window_s,
        **({"url": message.url} if message.url else {}),
    }


def summary_body(summary: Summary, about: About) -> dict[str, object]:
    return {
        "type": "Metadata",
        "transaction_key": "deprecated",
        "request_id": about.request_id,
        "sha256": summary.audio_sha256,
        "created": about.created,
        "duration": seconds(summary.audio_ms),
        "channels": about.channels,
        "models": [about.model],
        "model_info": {about.model: _model_info(about)},
        **({"tags": list(about.tags)} if about.tags else {}),
        **({"extra": dict(about.extra)} if about.extra else {}),
        "region": about.region,
        "worker": about.worker,
        "billed_seconds": seconds(summary.billed_ms),
        "receipt": summary.receipt,
    }


def error_body(problem: Problem, request_id: str) -> dict[str, object]:
    error = problem.error
    return {
        "type": "Error",
        "variant": error.code,
        "description": error.sentence,
        "code": error.code,
        "message": error.sentence,
        "request_id": request_id,
    }


def confidence_of(words: Sequence[Word]) -> float:
    # Of nothing said it is 0, as Deepgram has it.
    return round(sum(word.confidence for word in words) / len(words), 4) if words else 0.0


def word_body(word: Word) -> dict[str, object]:
    bare = bare_word(word.text)
    return {
        "word": bare,
        "start": seconds(word.start_ms),
        "end": seconds(word.end_ms),
        "confidence": round(word.confidence, 4),
        "punctuated_word": word.text,
    }


def _model_info(about: About) -> dict[Literal["name", "version", "arch"], str]:
    return {"name": about.model, "version": about.version, "arch": about.arch}


def seconds(milliseconds: int) -> float:
    return milliseconds / 1000
