"""The query string of `/v1/listen`: unknown parameters pass, a bad value is named, with what is allowed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl

from gateway.audio.base import AudioFormat
from gateway.errors import BadParameter
from gateway.session import Features
from wire.messages import StreamOptions

MAX_QUERY_BYTES = 8192
MAX_FIELDS = 200
ENCODINGS = ("linear16",)
SAMPLE_RATES = (8_000, 48_000)
MAX_ENDPOINTING_MS = 10_000
MAX_TAGS, MAX_TAG_LENGTH = 16, 128
# What clients of other services ask for because they must ask for something: our default serves them.
ELSEWHERE = re.compile(
    r"(?:default|general|phonecall|meeting|(?:nova|enhanced|base|flux|whisper|general|gpt-4o)(?:-.*)?)\Z"
)


@dataclass(frozen=True)
class ListenParameters:
    encoding: str | None = "linear16"  # None: a container, to be recognised
    sample_rate: int = 16_000
    channels: int = 1
    multichannel: bool = False
    model: str = ""
    version: str = ""
    language: str = "en"
    interim_results: bool = False
    punctuate: bool = True
    smart_format: bool = False
    endpointing_ms: int | None = None
    utterance_end_ms: int | None = None
    vad_events: bool = False
    keyterms: tuple[str, ...] = ()
    redact: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    extra: tuple[tuple[str, str], ...] = ()
    callback: str = ""
    recorded: bool = False

    @property
    def lanes(self) -> int:
        return self.channels if self.multichannel else 1

    @property
    def format(self) -> AudioFormat:
        return AudioFormat(self.encoding, self.sample_rate, self.channels, self.lanes)

    @property
    def features(self) -> Features:
        return Features(self.interim_results, self.vad_events, self.utterance_end_ms)

    def options(self) -> StreamOptions:
        return StreamOptions(
            model="" if ELSEWHERE.match(self.model) else self.model,
            language="" if self.language == "multi" else self.language,
            interim_results=self.interim_results,
            endpointing_ms=self.endpointing_ms,
            keyterms=self.keyterms,
            recorded=self.recorded,
        )


def parse(query: bytes) -> ListenParameters:
    if len(query) > MAX_QUERY_BYTES:
        raise BadParameter(f"The query string is {len(query)} bytes; at most {MAX_QUERY_BYTES} are read.")
    try:
        pairs = parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            max_num_fields=MAX_FIELDS,
            encoding="utf-8",
            errors="strict",
        )
    except ValueError:
        raise BadParameter(f"The query string is not one, or has more than {MAX_FIELDS} fields.") from None
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return ListenParameters(
        encoding=_choice(values, "encoding", ENCODINGS, "linear16"),
        sample_rate=_integer(values, "sample_rate", *SAMPLE_RATES, 16_000),
        channels=_integer(values, "channels", 1, 1, 1),
        model=_text(values, "model", ""),
        language=_text(values, "language", "en"),
        interim_results=_boolean(values, "interim_results", False),
        punctuate=_boolean(values, "punctuate", True),
        endpointing_ms=_endpointing(values),
        tags=_tags(values),
    )


def _last(values: dict[str, list[str]], name: str) -> str | None:
    return values[name][-1] if name in values else None


def _bad(name: str, value: str, allowed: str) -> BadParameter:
    return BadParameter(f"{name}={value[:60]!r}: allowed is {allowed}.")


def _boolean(values: dict[str, list[str]], name: str, default: bool) -> bool:
    value = _last(values, name)
    if value is None:
        return default
    if value.lower() not in ("true", "false"):
        raise _bad(name, value, "true or false")
    return value.lower() == "true"


def _integer(values: dict[str, list[str]], name: str, low: int, high: int, default: int) -> int:
    value = _last(values, name)
    if value is None:
        return default
    allowed = f"{low}" if low == high else f"a whole number from {low} to {high}"
    # isdecimal alone would let other scripts' digits pass.
    if not (value.isascii() and value.isdecimal() and len(value) < 10) or not low <= int(value) <= high:
        raise _bad(name, value, allowed)
    return int(value)


def _choice(values: dict[str, list[str]], name: str, allowed: Sequence[str], default: str) -> str:
    value = _last(values, name)
    if value is None:
        return default
    if value not in allowed:
        raise _bad(name, value, " or ".join(allowed))
    return value


def _text(values: dict[str, list[str]], name: str, default: str) -> str:
    value = _last(values, name)
    if value is None:
        return default
    if not 0 < len(value) <= 64 or not value.isprintable():
        raise _bad(name, value, "1 to 64 printable characters")
    return value


def _endpointing(values: dict[str, list[str]]) -> int | None:
    value = _last(values, "endpointing")
    if value is None or value.lower() == "true":
        return None
    if value.lower() == "false":
        return 0
    try:
        return _integer(values, "endpointing", 10, MAX_ENDPOINTING_MS, 0)
    except BadParameter:
        raise _bad("endpointing", value, f"false, or milliseconds from 10 to {MAX_ENDPOINTING_MS}") from None


def _tags(values: dict[str, list[str]]) -> tuple[str, ...]:
    tags = tuple(values.get("tag", ()))
    if len(tags) > MAX_TAGS or any(len(tag) > MAX_TAG_LENGTH or not tag.isprintable() for tag in tags):
        raise BadParameter(f"tag: at most {MAX_TAGS}, each of at most {MAX_TAG_LENGTH} printable characters.")
    return tags
