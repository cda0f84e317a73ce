"""What a client of AssemblyAI's streaming API asks for: the query of `/v3/ws`, and `UpdateConfiguration`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gateway import query
from gateway.described import ENDPOINTING_MS, MAX_KEYTERM_LENGTH, MAX_KEYTERMS, SAMPLE_RATES
from gateway.parameters import ListenParameters
from gateway.query import NotAllowed, Parameter

ENCODINGS = {
    "pcm_s16le": "linear16",
    "pcm_mulaw": "mulaw",
    "opus": "opus",
    "ogg_opus": "ogg-opus",
    "aac": "aac",
}
INACTIVITY_S = (5, 3600)
MAX_SILENCE_MS = 60_000
# These write every turn as it is written, and say nothing of `format_turns`.
ALWAYS_FORMATTED = ("u3-", "universal-3", "whisper")
MAX_LANGUAGES = 20


@dataclass(frozen=True)
class Settings:
    encoding: str = "pcm_s16le"
    sample_rate: int = 16_000
    model: str = ""
    languages: tuple[str, ...] = ()
    keyterms: tuple[str, ...] = ()
    format_turns: bool | None = None
    partials: bool = True
    confidence: float | None = None
    least_silence_ms: int | None = None
    older_least_silence_ms: int | None = None
    most_silence_ms: int | None = None
    inactivity_s: int | None = None

    @property
    def formatted(self) -> bool:
        if self.format_turns is None:
            return self.model.startswith(ALWAYS_FORMATTED)
        return self.format_turns

    def parameters(self) -> ListenParameters:
        return ListenParameters(
            encoding=ENCODINGS[self.encoding],
            sample_rate=self.sample_rate,
            model=self.model,
            language=self._language(),
            interim_results=self.partials,
            vad_events=True,
            endpointing_ms=self._pause_ms(),
            keyterms=self.keyterms,
        )

    def _language(self) -> str:
        if len(self.languages) == 1:
            return self.languages[0]
        english = not self.languages and self.model in ("", "universal-streaming-english")
        return "en" if english else "multi"

    def _pause_ms(self) -> int | None:
        """A pause ends a turn here, and nothing but its length counts: the shorter of the two that are given,
        unless the client says with a threshold that cannot be reached that it wants the longer one."""
        least = self.least_silence_ms if self.least_silence_ms is not None else self.older_least_silence_ms
        patient = self.confidence is not None and self.confidence >= 1
        wanted = self.most_silence_ms if patient or least is None else least
        return None if wanted is None else min(max(wanted, ENDPOINTING_MS[0]), ENDPOINTING_MS[1])


def _number(given: Sequence[str]) -> float:
    try:
        value = float(given[-1])
    except ValueError:
        raise NotAllowed from None
    if not 0 <= value <= 1:
        raise NotAllowed
    return value


def _list(longest: int, item_longest: int) -> query.Read:
    """A list as JSON, as its SDKs write one; a bare word is a list of one."""

    def parse(given: Sequence[str]) -> tuple[str, ...]:
        try:
            found = json.loads(given[-1]) if given[-1].lstrip().startswith("[") else list(given)
        except (ValueError, RecursionError):
            raise NotAllowed from None
        if not isinstance(found, list) or len(found) > longest:
            raise NotAllowed
        if not all(
            isinstance(one, str) and 0 < len(one) <= item_longest and one.isprintable() for one in found
        ):
            raise NotAllowed
        return tuple(dict.fromkeys(found))

    return parse


_FLAG = "true or false"
_SILENCE = f"milliseconds from 0 to {MAX_SILENCE_MS}"
_silence = query.whole(0, MAX_SILENCE_MS)
_LANGUAGES = f"a JSON list of up to {MAX_LANGUAGES} languages"

# What may also be changed later.
CHANGEABLE: tuple[Parameter, ...] = (
    Parameter("format_turns", "punctuation and capitals", _FLAG, "false", query.boolean, "format_turns"),
    Parameter(
        "keyterms_prompt",
        "words and phrases to listen for",
        f"a JSON list of up to {MAX_KEYTERMS}, each of 1 to {MAX_KEYTERM_LENGTH} printable characters",
        "none",
        _list(MAX_KEYTERMS, MAX_KEYTERM_LENGTH),
        "keyterms",
    ),
    Parameter(
        "language_codes",
        "the languages that are spoken",
        _LANGUAGES,
        "en",
        _list(MAX_LANGUAGES, query.MAX_TEXT),
        "languages",
    ),
    Parameter(
        "end_of_turn_confidence_threshold",
        "1 or more: only the longest silence ends a turn",
        "a number from 0 to 1",
        "none",
        _number,
        "confidence",
    ),
    Parameter(
        "min_turn_silence",
        "the silence that ends a turn",
        _SILENCE,
        "the engine's",
        _silence,
        "least_silence_ms",
    ),
    Parameter(
        "min_end_of_turn_silence_when_confident",
        "the older name of min_turn_silence",
        _SILENCE,
        "the engine's",
        _silence,
        "older_least_silence_ms",
    ),
    Parameter(
        "max_turn_silence",
        "the silence that ends a turn where the other is not given",
        _SILENCE,
        "the engine's",
        _silence,
        "most_silence_ms",
    ),
)
PARAMETERS: tuple[Parameter, ...] = (
    *CHANGEABLE,
    Parameter(
        "sample_rate",
        "samples a second",
        "a whole number from {} to {}".format(*SAMPLE_RATES),
        "16000",
        query.whole(*SAMPLE_RATES),
        "sample_rate",
    ),
    Parameter(
        "encoding",
        "how the audio is encoded",
        ", ".join(ENCODINGS),
        "pcm_s16le",
        query.choice(*ENCODINGS),
        "encoding",
    ),
    Parameter(
        "speech_model",
        "the model; AssemblyAI's names mean the default",
        f"1 to {query.MAX_TEXT} printable characters",
        "the worker's",
        query.text(),
        "model",
    ),
    Parameter(
        "language_code",
        "the language that is spoken",
        _LANGUAGES,
        "en",
        _list(1, query.MAX_TEXT),
        "languages",
    ),
    Parameter(
        "include_partial_turns", "send turns before they end", _FLAG, "true", query.boolean, "partials"
    ),
    Parameter(
        "redact_pii",
        "hide personal data",
        "false: names and addresses are not found here; /v1/listen hides numbers, with redact",
        "false",
        query.choice("false"),
        "",
    ),
    Parameter(
        "inactivity_timeout",
        "seconds without a message after which the session ends",
        "a whole number from {} to {}".format(*INACTIVITY_S),
        "STREAM_QUIET_SECONDS",
        query.whole(*INACTIVITY_S),
        "inactivity_s",
    ),
)


def parse(query_string: bytes) -> Settings:
    """Raises `BadParameter`. What is not known here has no effect."""
    found: dict[str, Any] = query.read(PARAMETERS, query.fields(query_string))
    found.pop("", None)
    return replace(Settings(), **found)


def updated(settings: Settings, given: Mapping[str, object]) -> Settings:
    """With what an `UpdateConfiguration` gives. Raises `BadParameter`."""
    values = {name: [_text(value)] for name, value in given.items() if value is not None}
    found: dict[str, Any] = query.read(CHANGEABLE, values)
    return replace(settings, **found)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
