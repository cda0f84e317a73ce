"""What was heard, in the shapes of OpenAI's answers about transcriptions. Pure."""

from __future__ import annotations

import math
import zlib
from typing import Any

import msgspec

from gateway.errors import GatewayError
from gateway.events import Transcript
from gateway.recorded import captions
from gateway.recorded.heard import Heard

# ISO 639-1 as English names, which is how Whisper says what it heard.
_NAMES = (
    "ar:arabic bg:bulgarian bn:bengali ca:catalan cs:czech da:danish de:german el:greek en:english "
    "es:spanish et:estonian eu:basque fa:persian fi:finnish fr:french gl:galician gu:gujarati he:hebrew "
    "hi:hindi hr:croatian hu:hungarian hy:armenian id:indonesian is:icelandic it:italian ja:japanese "
    "ka:georgian kk:kazakh kn:kannada ko:korean lt:lithuanian lv:latvian mk:macedonian ml:malayalam "
    "mr:marathi ms:malay mt:maltese ne:nepali nl:dutch no:norwegian pa:punjabi pl:polish pt:portuguese "
    "ro:romanian ru:russian sk:slovak sl:slovenian sq:albanian sr:serbian sv:swedish sw:swahili ta:tamil "
    "te:telugu th:thai tl:tagalog tr:turkish uk:ukrainian ur:urdu vi:vietnamese zh:chinese"
)
_LANGUAGES: dict[str, str] = dict(pair.split(":") for pair in _NAMES.split())


def text(heard: Heard) -> str:
    return join(heard.finals)


def join(finals: tuple[Transcript, ...]) -> str:
    return " ".join(said for final in finals if (said := text_of(final)))


def text_of(final: Transcript) -> str:
    return " ".join(word.text for word in final.words)


def json_answer(heard: Heard) -> dict[str, Any]:
    return {"text": text(heard), "usage": usage(heard), **_receipt(heard)}


def verbose_answer(
    heard: Heard, *, language: str, words: bool, segments: bool, temperature: float
) -> dict[str, Any]:
    body: dict[str, Any] = {
        "task": "transcribe",
        "language": language_name(language),
        "duration": heard.seconds,
        "text": text(heard),
        "usage": usage(heard),
        **_receipt(heard),
    }
    if words:
        body["words"] = [
            {"word": word.text, "start": word.start_ms / 1000, "end": word.end_ms / 1000}
            for word in heard.words(0)
        ]
    if segments:
        spoken = [final for final in heard.finals if final.words]
        body["segments"] = [_segment(number, final, temperature) for number, final in enumerate(spoken)]
    return body


def usage(heard: Heard) -> dict[str, Any]:
    return {"type": "duration", "seconds": heard.seconds}


def _receipt(heard: Heard) -> dict[str, Any]:
    """Beside what OpenAI's clients know, where there is one: they pass it over."""
    return {"receipt": heard.summary.receipt} if heard.summary.receipt else {}


def srt(heard: Heard) -> str:
    return captions.srt(heard.words(0))


def vtt(heard: Heard) -> str:
    return captions.vtt(heard.words(0))


def language_name(code: str) -> str:
    code = code.lower()
    return _LANGUAGES.get(code.split("-")[0], code)


def _segment(number: int, final: Transcript, temperature: float) -> dict[str, Any]:
    said = text_of(final)
    sure = [math.log(min(1.0, max(word.confidence, 1e-6))) for word in final.words]
    raw = said.encode()
    return {
        "id": number,
        "seek": final.start_ms // 10,
        "start": final.words[0].start_ms / 1000,
        "end": final.words[-1].end_ms / 1000,
        "text": " " + said if number else said,
        "tokens": [],
        "temperature": temperature,
        "avg_logprob": round(sum(sure) / len(sure), 4),
        "compression_ratio": round(len(raw) / len(zlib.compress(raw)), 4),
        "no_speech_prob": 0.0,
    }


# ---- while it is being heard


def delta(final: Transcript, *, first: bool) -> dict[str, Any]:
    """All deltas, one after the other, are the text."""
    said = text_of(final)
    return {"type": "transcript.text.delta", "delta": said if first else " " + said}


def done(heard: Heard) -> dict[str, Any]:
    return {"type": "transcript.text.done", **json_answer(heard)}


def event(body: dict[str, Any]) -> bytes:
    """A server-sent event."""
    return b"data: " + msgspec.json.encode(body) + b"\n\n"


DONE = b"data: [DONE]\n\n"


# ---- when it goes wrong


def problem(error: GatewayError, request_id: str, parameter: str | None = None) -> dict[str, Any]:
    kind = "invalid_request_error"
    if error.status == 429:
        kind = "rate_limit_error"
    elif error.status >= 500:
        kind = "server_error"
    body = {"message": error.sentence, "type": kind, "param": parameter, "code": error.code}
    return {"error": body, "request_id": request_id}
