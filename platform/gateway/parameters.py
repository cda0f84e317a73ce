"""The query string of `/v1/listen`: unknown parameters pass, a bad value is named, with what is allowed.

Every parameter is declared once, in `gateway.described`; recorded requests share them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from gateway import query
from gateway.audio.base import AudioFormat
from gateway.described import DESCRIBED, MAX_KEYTERMS
from gateway.errors import BadParameter
from gateway.formatting.pipeline import Formatting
from gateway.session import Features
from wire.messages import StreamOptions

TELEPHONE = {"mulaw": 8_000, "alaw": 8_000}  # what these are nearly always sampled at
# What clients of other services ask for because they must ask for something: our default serves them.
ELSEWHERE = re.compile(
    r"(?:default|general|phonecall|meeting|(?:nova|enhanced|base|flux|whisper|general|gpt|universal|u3)(?:-.*)?)\Z"
)


@dataclass(frozen=True)
class ListenParameters:
    encoding: str | None = None  # None: a container, to be recognised
    sample_rate: int = 16_000
    channels: int = 1
    multichannel: bool = False
    model: str = ""
    version: str = ""
    language: str = "en"
    interim_results: bool = False
    punctuate: bool = True
    smart_format: bool = False
    numerals: bool = False
    endpointing_ms: int | None = None
    utterance_end_ms: int | None = None
    vad_events: bool = False
    keyterms: tuple[str, ...] = ()
    redact: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    extra: tuple[tuple[str, str], ...] = ()
    callback: str = ""
    callback_method: str = "post"
    recorded: bool = False
    resume: bool | None = None
    resume_token: str = ""
    last_seq: int | None = None
    have_from_ms: int = 0

    @property
    def lanes(self) -> int:
        return self.channels if self.multichannel else 1

    @property
    def format(self) -> AudioFormat:
        return AudioFormat(self.encoding, self.sample_rate, self.channels, self.lanes)

    @property
    def features(self) -> Features:
        return Features(self.interim_results, self.vad_events, self.utterance_end_ms)

    @property
    def formatting(self) -> Formatting:
        return Formatting(
            self.punctuate, self.smart_format, self.numerals, self.redact, english(self.language)
        )

    def served_as(self, before: ListenParameters) -> bool:
        """Whether a worker does it that was asked for what was before. Partials that nobody wants any more
        are just not said."""
        if before.interim_results and not self.interim_results:
            before = replace(before, interim_results=False)
        return self.options() == before.options()

    def options(self) -> StreamOptions:
        return StreamOptions(
            model="" if ELSEWHERE.match(self.model) else self.model,
            version="" if self.version == "latest" else self.version,
            language="" if self.language == "multi" else self.language,
            interim_results=self.interim_results,
            endpointing_ms=self.endpointing_ms,
            keyterms=self.keyterms,
            recorded=self.recorded,
        )


def parse(query_string: bytes) -> ListenParameters:
    return from_values(query.fields(query_string))


def from_values(values: query.Values) -> ListenParameters:
    """What a stream is to be. Raises `BadParameter`."""
    found: dict[str, Any] = query.read(DESCRIBED, values)
    keyterms = dict.fromkeys((*found.get("keyterms", ()), *found.pop("keywords", ())))
    if len(keyterms) > MAX_KEYTERMS:
        raise BadParameter(f"keyterm and keywords: at most {MAX_KEYTERMS} together.")
    found["keyterms"] = tuple(keyterms)
    if "encoding" not in found and "sample_rate" in found:
        found["encoding"] = "linear16"  # whoever knows the rate sends bare samples
    found.setdefault("sample_rate", TELEPHONE.get(found.get("encoding", ""), 16_000))
    parameters = replace(ListenParameters(), **found)
    if parameters.redact and not english(parameters.language):
        raise BadParameter(
            f"redact: spoken numbers are known in English only, and language is {parameters.language!r}."
        )
    return parameters


def english(language: str) -> bool:
    return language.lower().partition("-")[0] == "en"
