from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.realtime_settings import MAX_PROMPT, Refused, Settings, updated


def inside(**values: Any) -> dict[str, Any]:
    return {"type": "transcription", "audio": {"input": values}}


def test_what_is_not_given_stays() -> None:
    first = updated(Settings(), inside(transcription={"model": "whisper-1", "language": "en"}))
    second = updated(
        first, inside(transcription={"prompt": "Names."}, noise_reduction={"type": "near_field"})
    )
    assert (second.model, second.languages, second.prompt) == ("whisper-1", ("en",), "Names.")
    assert updated(second, inside(transcription={"language": None})).languages == ()
    assert updated(second, {}) == second


def test_todays_shape_and_the_betas_mean_the_same() -> None:
    today = inside(
        format={"type": "audio/pcma"},
        transcription={"model": "gpt-4o-transcribe"},
        turn_detection={"type": "server_vad", "silence_duration_ms": 300},
    )
    beta = {
        "input_audio_format": "g711_alaw",
        "input_audio_transcription": {"model": "gpt-4o-transcribe"},
        "turn_detection": {"type": "server_vad", "silence_duration_ms": 300},
    }
    assert updated(Settings(), today) == updated(Settings(), beta)
    parameters = updated(Settings(), today).parameters()
    assert (parameters.encoding, parameters.sample_rate, parameters.endpointing_ms) == ("alaw", 8000, 300)


def test_languages_and_keywords() -> None:
    settings = updated(Settings(), inside(transcription={"languages": ["en", "de"], "keywords": ["Acme"]}))
    assert settings.parameters().language == "multi"
    assert settings.parameters().keyterms == ("Acme",)
    assert updated(Settings(), inside(transcription={"languages": ["de"]})).parameters().language == "de"


@pytest.mark.parametrize(("eagerness", "pause"), [("low", 1200), ("high", 300), ("auto", None), (None, None)])
def test_eagerness_is_a_pause(eagerness: str | None, pause: int | None) -> None:
    turns = {"type": "semantic_vad", **({"eagerness": eagerness} if eagerness else {})}
    assert updated(Settings(), inside(turn_detection=turns)).parameters().endpointing_ms == pause


@pytest.mark.parametrize(
    ("session", "param"),
    [
        ([], "session"),
        ({"type": "realtime"}, "session.type"),
        ({"audio": 1}, "session.audio"),
        (inside(format="mp3"), "session.audio.input.format"),
        (inside(format={"type": "audio/pcm", "rate": 1}), "session.audio.input.format.rate"),
        (inside(transcription="whisper-1"), "session.audio.input.transcription"),
        (inside(transcription={"language": 1}), "session.audio.input.transcription.language"),
        (inside(turn_detection={"type": "loud"}), "session.audio.input.turn_detection.type"),
        ({"input_audio_format": "mp3"}, "session.input_audio_format"),
        ({"turn_detection": {"silence_duration_ms": "1"}}, "session.turn_detection.silence_duration_ms"),
        ({"turn_detection": {"threshold": "loud"}}, "session.turn_detection.threshold"),
        ({"turn_detection": {"prefix_padding_ms": []}}, "session.turn_detection.prefix_padding_ms"),
        ({"turn_detection": {"type": "semantic_vad", "eagerness": {}}}, "session.turn_detection.eagerness"),
        ({"turn_detection": "server_vad"}, "session.turn_detection"),
        (inside(noise_reduction={"type": 1}), "session.audio.input.noise_reduction.type"),
        (inside(noise_reduction={"type": "x" * 65}), "session.audio.input.noise_reduction.type"),
        (inside(format={"type": ["audio/pcm"]}), "session.audio.input.format"),
        (inside(format={"type": "audio/pcm", "rate": True}), "session.audio.input.format.rate"),
        (
            inside(transcription={"prompt": "x" * (MAX_PROMPT + 1)}),
            "session.audio.input.transcription.prompt",
        ),
        (inside(transcription={"model": "x" * 65}), "session.audio.input.transcription.model"),
        (inside(transcription={"keywords": ["x"] * 101}), "session.audio.input.transcription.keywords"),
        (inside(transcription={"languages": "en"}), "session.audio.input.transcription.languages"),
        ({"include": ["\n"]}, "session.include"),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(session: object, param: str) -> None:
    with pytest.raises(Refused, match="allowed is") as refused:
        updated(Settings(), session)
    assert refused.value.param == param


NAMES = st.sampled_from(
    [
        *("type", "audio", "input", "format", "transcription", "turn_detection", "noise_reduction"),
        *("include", "model", "language", "languages", "keywords", "prompt", "rate", "eagerness"),
        *("threshold", "input_audio_format", "input_audio_transcription", "silence_duration_ms"),
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=80)
    | st.sampled_from(["audio/pcm", "g711_ulaw", "server_vad", "semantic_vad", "transcription"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=20,
)  # fmt: skip


@given(st.lists(VALUES | VALUES.map(lambda value: {"audio": {"input": value}}), max_size=4))
def test_any_session_is_understood_or_refused_and_can_be_shown(sessions: list[Any]) -> None:
    settings = Settings()
    for session in sessions:
        with suppress(Refused):
            settings = updated(settings, session)
        assert settings.parameters().options()
        assert settings.bytes_per_second > 0
        for beta in (True, False):
            assert json.dumps(settings.session(beta=beta, id="s", expires_at=1, model="m"))
