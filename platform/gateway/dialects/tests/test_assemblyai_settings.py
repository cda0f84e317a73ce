from __future__ import annotations

from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

import pytest
from assemblyai.streaming.v3 import Encoding, SpeechModel, StreamingParameters
from assemblyai.streaming.v3._base import _build_uri
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.assemblyai_settings import CHANGEABLE, ENCODINGS, PARAMETERS, Settings, parse, updated
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
    ("wanted", "pause"),
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
def test_only_silence_ends_a_turn(wanted: dict[str, object], pause: int | None) -> None:
    assert asked(**wanted).parameters().endpointing_ms == pause


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
    ("wrong", "name"),
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
def test_a_bad_value_is_named_with_what_is_allowed(wrong: dict[str, object], name: str) -> None:
    with pytest.raises(BadParameter, match=f"{name}=.*allowed is"):
        asked(**wrong)


def test_what_is_not_known_has_no_effect() -> None:
    assert asked(redact_pii="False", voice_focus="near-field", token="x") == Settings()
    assert updated(Settings(), {"type": "UpdateConfiguration", "prompt": "Names."}) == Settings()


@pytest.mark.parametrize("wrong", [True, 1.5, -1, "long", [1], {"ms": 1}, "9" * 5000])
def test_a_bad_change_is_named_and_changes_nothing(wrong: object) -> None:
    with pytest.raises(BadParameter, match=r"max_turn_silence=.*allowed is") as refused:
        updated(Settings(), {"max_turn_silence": wrong, "format_turns": True})
    assert len(refused.value.sentence) < 300


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=80),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
CHANGES = st.dictionaries(st.sampled_from([one.name for one in CHANGEABLE]) | st.text(max_size=8), VALUES)
QUERIES = st.lists(
    st.tuples(st.sampled_from([one.name for one in PARAMETERS]), st.text(max_size=80)), max_size=6
)


@given(QUERIES, st.lists(CHANGES, max_size=3))
def test_anything_asked_for_is_understood_or_refused(
    query: list[tuple[str, str]], changes: list[dict[str, Any]]
) -> None:
    settings = Settings()
    with suppress(BadParameter):
        settings = parse(urlencode(query, errors="replace").encode())
    for change in changes:
        with suppress(BadParameter):
            settings = updated(settings, change)
    assert settings.parameters().options()
