from __future__ import annotations

from typing import Any

import pytest

from gateway.dialects.realtime_settings import Refused, Settings, updated


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
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(session: object, param: str) -> None:
    with pytest.raises(Refused, match="allowed is") as refused:
        updated(Settings(), session)
    assert refused.value.param == param
