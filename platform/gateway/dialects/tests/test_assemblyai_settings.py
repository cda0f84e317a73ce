from __future__ import annotations

from urllib.parse import urlencode

import pytest
from assemblyai.streaming.v3 import Encoding, SpeechModel, StreamingParameters
from assemblyai.streaming.v3._base import _build_uri

from gateway.dialects.assemblyai_settings import ENCODINGS, Settings, parse, updated
from gateway.errors import BadParameter


def asked(**values: object) -> Settings:
    return parse(urlencode(values).encode())


def test_what_the_sdk_sends() -> None:
    wanted = StreamingParameters(
        sample_rate=8000,
        encoding=Encoding.pcm_mulaw,
        format_turns=True,
        keyterms_prompt=["Acme", "Bob Ross"],
        min_turn_silence=400,
        inactivity_timeout=60,
    )
    settings = parse(_build_uri("ws://host", wanted).partition("?")[2].encode())
    parameters = settings.parameters()
    assert (parameters.encoding, parameters.sample_rate) == ("mulaw", 8000)
    assert parameters.keyterms == ("Acme", "Bob Ross")
    assert parameters.endpointing_ms == 400
    assert settings.formatted
    assert settings.inactivity_s == 60


@pytest.mark.parametrize("encoding", list(Encoding))
def test_every_encoding_of_the_sdk_is_known(encoding: Encoding) -> None:
    assert str(encoding) in ENCODINGS


@pytest.mark.parametrize("model", list(SpeechModel))
def test_every_model_of_the_sdk_means_ours(model: SpeechModel) -> None:
    assert asked(speech_model=str(model)).parameters().options().model == ""


@pytest.mark.parametrize(
    ("given", "pause"),
    [
        ({}, None),
        ({"min_turn_silence": 0}, 10),
        ({"min_turn_silence": 160, "max_turn_silence": 2000}, 160),
        ({"max_turn_silence": 2000}, 2000),
        ({"min_turn_silence": 160, "max_turn_silence": 2000, "end_of_turn_confidence_threshold": 1.0}, 2000),
        ({"min_turn_silence": 160, "end_of_turn_confidence_threshold": 1}, None),
        ({"min_end_of_turn_silence_when_confident": 300}, 300),
        ({"max_turn_silence": 60_000}, 10_000),
    ],
)
def test_only_silence_ends_a_turn(given: dict[str, object], pause: int | None) -> None:
    assert asked(**given).parameters().endpointing_ms == pause


def test_newer_models_write_every_turn_out() -> None:
    assert asked(speech_model="u3-rt-pro").formatted
    assert not asked(speech_model="u3-rt-pro", format_turns="False").formatted
    assert not asked().formatted


def test_languages() -> None:
    assert asked().parameters().language == "en"
    assert asked(speech_model="universal-streaming-multilingual").parameters().language == "multi"
    assert asked(language_code="de").parameters().language == "de"
    assert asked(language_codes='["en","de"]').parameters().language == "multi"


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"encoding": "mp3"}, "encoding"),
        ({"sample_rate": "1"}, "sample_rate"),
        ({"format_turns": "maybe"}, "format_turns"),
        ({"keyterms_prompt": "[1]"}, "keyterms_prompt"),
        ({"keyterms_prompt": "[" * 2000}, "keyterms_prompt"),
        ({"end_of_turn_confidence_threshold": "nan"}, "end_of_turn_confidence_threshold"),
        ({"redact_pii": "true"}, "redact_pii"),
        ({"inactivity_timeout": "1"}, "inactivity_timeout"),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(given: dict[str, object], name: str) -> None:
    with pytest.raises(BadParameter, match=f"{name}=.*allowed is"):
        asked(**given)


def test_what_is_not_known_has_no_effect() -> None:
    assert asked(redact_pii="False", voice_focus="near-field", token="x") == Settings()
    assert updated(Settings(), {"type": "UpdateConfiguration", "prompt": "Names."}) == Settings()
