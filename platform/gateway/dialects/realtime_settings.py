"""What a client of OpenAI's Realtime API has set its transcription session to: read from `session.update` in
the shape of today and of the beta, and shown again in either."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from gateway.described import ENDPOINTING_MS, MAX_KEYTERM_LENGTH, MAX_KEYTERMS, SAMPLE_RATES
from gateway.parameters import ListenParameters
from gateway.query import MAX_TEXT

Object = Mapping[str, Any]

MAX_PROMPT = 8_192
PCM, RATE, TELEPHONE_RATE = "audio/pcm", 24_000, 8_000
ENCODINGS = {PCM: "linear16", "audio/pcmu": "mulaw", "audio/pcma": "alaw"}
OF_BETA = {"pcm16": PCM, "g711_ulaw": "audio/pcmu", "g711_alaw": "audio/pcma"}
SERVER_VAD: Object = MappingProxyType(
    {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 500}
)
# How long the more patient and the less patient wait for a speaker to go on; None: the engine's own.
EAGERNESS = {"low": 1200, "medium": None, "high": 300, "auto": None}
# OpenAI's models that know no turns: their clients say themselves where one ends, and set nothing.
WITHOUT_TURNS = ("gpt-realtime-whisper", "gpt-live-transcribe")


class Refused(Exception):
    """A value is not allowed; the session stays as it is."""

    def __init__(self, param: str, allowed: str) -> None:
        self.param = param
        super().__init__(f"{param}: allowed is {allowed}.")


@dataclass(frozen=True)
class Settings:
    audio: str = PCM
    rate: int = RATE
    model: str = ""
    languages: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    prompt: str | None = None
    turns: Object | None = field(default_factory=lambda: SERVER_VAD)
    turns_given: bool = False
    noise_reduction: Object | None = None  # shown again, and without effect
    include: tuple[str, ...] = ()

    @property
    def by_voice(self) -> bool:
        """Whether the speaker's pauses end a turn; otherwise only the client does."""
        if not self.turns_given and self.model.startswith(WITHOUT_TURNS):
            return False
        return self.turns is not None

    @property
    def bytes_per_second(self) -> int:
        return 2 * self.rate if self.audio == PCM else TELEPHONE_RATE

    def parameters(self) -> ListenParameters:
        return ListenParameters(
            encoding=ENCODINGS[self.audio],
            sample_rate=self.rate if self.audio == PCM else TELEPHONE_RATE,
            model=self.model,
            language=self.languages[0] if len(self.languages) == 1 else "multi",
            # Its clients put text after text, so there are no words for what may still change.
            interim_results=False,
            vad_events=True,
            endpointing_ms=self._pause_ms(),
            keyterms=self.keywords,
        )

    def _pause_ms(self) -> int | None:
        if not self.by_voice or self.turns is None:
            return 0
        if self.turns["type"] == "semantic_vad":
            return EAGERNESS[self.turns.get("eagerness", "auto")]
        wanted = self.turns.get("silence_duration_ms", SERVER_VAD["silence_duration_ms"])
        return min(max(int(wanted), ENDPOINTING_MS[0]), ENDPOINTING_MS[1])

    # ---- as it is shown

    def session(self, *, beta: bool, id: str, expires_at: int, model: str) -> dict[str, Any]:
        transcription: dict[str, Any] = {"model": self.model or model, "prompt": self.prompt}
        transcription["language"] = self.languages[0] if len(self.languages) == 1 else None
        if len(self.languages) > 1:
            transcription["languages"] = list(self.languages)
        if self.keywords:
            transcription["keywords"] = list(self.keywords)
        turns = dict(self.turns) if self.by_voice and self.turns is not None else None
        about = {"id": id, "object": "realtime.transcription_session", "expires_at": expires_at}
        include = list(self.include) or None
        if beta:
            kinds = {kind: name for name, kind in OF_BETA.items()}
            return about | {
                "input_audio_format": kinds[self.audio],
                "input_audio_transcription": transcription,
                "input_audio_noise_reduction": self.noise_reduction,
                "turn_detection": turns,
                "include": include,
            }
        audio: dict[str, Any] = {"type": self.audio}
        if self.audio == PCM:
            audio["rate"] = self.rate
        return about | {
            "type": "transcription",
            "audio": {
                "input": {
                    "format": audio,
                    "transcription": transcription,
                    "noise_reduction": self.noise_reduction,
                    "turn_detection": turns,
                }
            },
            "include": include,
        }


def updated(settings: Settings, session: object) -> Settings:
    """The settings with what the client gave of them; what it did not give stays. Raises `Refused`."""
    given = _object("session", session)
    if given.get("type") not in (None, "transcription"):
        raise Refused("session.type", "transcription: there are no spoken answers here")
    audio = _object("session.audio", given.get("audio") or {})
    inside = _object("session.audio.input", audio.get("input") or {})
    for (name, name_in_beta), read in _READERS.items():
        if name in inside:
            settings = read(settings, f"session.audio.input.{name}", inside[name])
        elif name_in_beta in given:
            settings = read(settings, f"session.{name_in_beta}", given[name_in_beta])
    if given.get("include") is not None:
        settings = replace(settings, include=_texts("session.include", given["include"]))
    return settings


def _format(settings: Settings, where: str, value: object) -> Settings:
    if isinstance(value, str):
        kind, rate = OF_BETA.get(value, value), RATE
    else:
        form = _object(where, value)
        kind, rate = form.get("type", settings.audio), form.get("rate", RATE)
    if not isinstance(kind, str) or kind not in ENCODINGS:
        raise Refused(where, ", ".join((*ENCODINGS, *OF_BETA)))
    low, high = SAMPLE_RATES
    if not isinstance(rate, int) or isinstance(rate, bool) or not low <= rate <= high:
        raise Refused(f"{where}.rate", f"a whole number from {low} to {high}")
    return replace(settings, audio=kind, rate=rate)


def _transcription(settings: Settings, where: str, value: object) -> Settings:
    given = _object(where, {} if value is None else value)
    if given.get("model") is not None:
        settings = replace(settings, model=_text(f"{where}.model", given["model"], MAX_TEXT))
    if given.get("languages") is not None:
        settings = replace(settings, languages=_texts(f"{where}.languages", given["languages"]))
    elif "language" in given:
        language = given["language"] or None
        languages = () if language is None else (_text(f"{where}.language", language, MAX_TEXT),)
        settings = replace(settings, languages=languages)
    if "keywords" in given:
        settings = replace(settings, keywords=_texts(f"{where}.keywords", given["keywords"] or []))
    if "prompt" in given:
        prompt = given["prompt"]
        if prompt is not None and (not isinstance(prompt, str) or len(prompt) > MAX_PROMPT):
            raise Refused(f"{where}.prompt", f"text of up to {MAX_PROMPT} characters, or null")
        settings = replace(settings, prompt=prompt)
    return settings


def _turn_detection(settings: Settings, where: str, value: object) -> Settings:
    if value is None:
        return replace(settings, turns=None, turns_given=True)
    given = _object(where, value)
    kind = given.get("type", "server_vad")
    if kind not in ("server_vad", "semantic_vad"):
        raise Refused(f"{where}.type", "server_vad, semantic_vad, or null instead of the object")
    pause = given.get("silence_duration_ms")
    if pause is not None and (not isinstance(pause, int) or isinstance(pause, bool) or pause < 0):
        raise Refused(f"{where}.silence_duration_ms", "a whole number of milliseconds")
    if given.get("eagerness") not in (None, *EAGERNESS):
        raise Refused(f"{where}.eagerness", ", ".join(EAGERNESS))
    for name in ("threshold", "prefix_padding_ms"):
        if not isinstance(given.get(name), int | float | None):
            raise Refused(f"{where}.{name}", "a number")
    known = SERVER_VAD if kind == "server_vad" else {"eagerness": "auto"}
    turns = {**known, "type": kind} | {name: given[name] for name in known if given.get(name) is not None}
    return replace(settings, turns=turns, turns_given=True)


def _noise_reduction(settings: Settings, where: str, value: object) -> Settings:
    kind = _object(where, value).get("type") if value is not None else None
    shown = None if kind is None else {"type": _text(f"{where}.type", kind, MAX_TEXT)}
    return replace(settings, noise_reduction=shown)


# Today's shape is nested, the beta's flat.
_READERS: dict[tuple[str, str], Callable[[Settings, str, object], Settings]] = {
    ("format", "input_audio_format"): _format,
    ("transcription", "input_audio_transcription"): _transcription,
    ("turn_detection", "turn_detection"): _turn_detection,
    ("noise_reduction", "input_audio_noise_reduction"): _noise_reduction,
}


def _object(where: str, value: object) -> Object:
    if not isinstance(value, dict):
        raise Refused(where, "an object")
    return value


def _text(where: str, value: object, longest: int) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= longest or not value.isprintable():
        raise Refused(where, f"1 to {longest} printable characters")
    return value


def _texts(where: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MAX_KEYTERMS:
        raise Refused(where, f"a list of up to {MAX_KEYTERMS}")
    return tuple(dict.fromkeys(_text(where, one, MAX_KEYTERM_LENGTH) for one in value))
