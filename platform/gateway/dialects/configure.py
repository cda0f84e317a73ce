"""Deepgram's `Configure`: other features and keyterms from here on, all of them or, with a reason, none.

It is answered with `ConfigureSuccess` or `ConfigureFailure`, types that only a client which sends it can get.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from gateway import query
from gateway.described import DESCRIBED
from gateway.errors import BadMessage, BadParameter, FeatureNotConfigurable, TooManyKeyterms
from gateway.parameters import ListenParameters

# What may change in the middle of a stream. What is redacted may not: it would be a promise with a hole.
FEATURES = {
    parameter.name: parameter
    for parameter in DESCRIBED
    if parameter.name
    in {
        "endpointing",
        "interim_results",
        "numerals",
        "punctuate",
        "smart_format",
        "utterance_end_ms",
        "vad_events",
    }
}
_KEYTERM = next(parameter for parameter in DESCRIBED if parameter.name == "keyterm")


class Configure(msgspec.Struct, frozen=True):
    keyterms: tuple[str, ...] | None = None  # None: as they are
    features: dict[str, bool | int] | None = None


_decoder = msgspec.json.Decoder(Configure)


def read(text: str) -> Configure:
    try:
        return _decoder.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise BadMessage(
            "In Configure, keyterms is a list of strings, features an object of booleans and whole numbers."
        ) from None


def applied(asked: Configure, parameters: ListenParameters) -> ListenParameters:
    """The parameters with what was asked for. Raises `TooManyKeyterms` or `FeatureNotConfigurable`."""
    found: dict[str, Any] = {}
    features = asked.features or {}
    if unknown := [name for name in features if name not in FEATURES]:
        raise FeatureNotConfigurable(f"It has {unknown[0][:40]!r}. There are: {', '.join(FEATURES)}.")
    try:
        found |= query.read(
            list(FEATURES.values()), {name: [str(value).lower()] for name, value in features.items()}
        )
    except BadParameter as error:
        raise FeatureNotConfigurable(error.detail) from None
    if asked.keyterms is not None:
        try:
            found["keyterms"] = _KEYTERM.read(tuple(dict.fromkeys(asked.keyterms)))
        except query.NotAllowed:
            raise TooManyKeyterms(f"Allowed are {_KEYTERM.allowed}.") from None
    return replace(parameters, **found)


def success(asked: Configure, parameters: ListenParameters) -> dict[str, object]:
    keyterms = {} if asked.keyterms is None else {"keyterms": list(parameters.keyterms)}
    return {"type": "ConfigureSuccess", **keyterms}


def failure(error: FeatureNotConfigurable | TooManyKeyterms) -> dict[str, object]:
    return {"type": "ConfigureFailure", "code": error.code, "description": error.sentence}
