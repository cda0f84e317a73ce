from __future__ import annotations

import pytest

from inference_worker.admission import recorded_slots, refusal
from inference_worker.engines.base import EngineInfo
from wire.messages import Open, StreamOptions, WorkerState

INFO = EngineInfo("moonshine", "moonshine-tiny-en", "1", "a", ("en",), 1600, 4, 4)


def opening(model: str = "", language: str = "en", *, version: str = "", recorded: bool = False) -> Open:
    options = StreamOptions(model=model, language=language, version=version, recorded=recorded)
    return Open(stream="s", epoch=1, tenant="acme", options=options)


@pytest.mark.parametrize("model", ["", "default", "moonshine-tiny-en"])
@pytest.mark.parametrize("language", ["en", "EN", "en-GB", "en-us", ""])
def test_what_it_can_do_is_admitted(model: str, language: str) -> None:
    assert refusal(opening(model, language), INFO, WorkerState.READY, 1) is None


def test_recorded_audio_leaves_slots_to_the_live() -> None:
    assert refusal(opening(recorded=True), INFO, WorkerState.READY, 1) is None
    assert refusal(opening(recorded=True), INFO, WorkerState.READY, 0) == "no_capacity"
    assert refusal(opening(), INFO, WorkerState.READY, 0) is None


@pytest.mark.parametrize(
    ("slots", "share", "recorded"), [(64, 0.5, 32), (5, 0.5, 2), (1, 0.5, 1), (64, 0, 0), (64, 1, 64)]
)
def test_how_many_slots_recorded_audio_may_hold(slots: int, share: float, recorded: int) -> None:
    assert recorded_slots(slots, share) == recorded


@pytest.mark.parametrize(
    ("model", "language", "code"),
    [("whisper", "en", "unknown_model"), ("", "de", "unknown_language"), ("", "english", "unknown_language")],
)
def test_what_it_cannot_do_is_refused_by_name(model: str, language: str, code: str) -> None:
    assert refusal(opening(model, language), INFO, WorkerState.READY, 1) == code


def test_a_version_is_the_worker_s_or_none_in_particular() -> None:
    def asked(version: str) -> str | None:
        options = StreamOptions(version=version)
        return refusal(Open(stream="s", epoch=1, tenant="acme", options=options), INFO, WorkerState.READY, 1)

    assert [asked(version) for version in ("", "latest", "1", "2")] == [None, None, None, "unknown_version"]


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (WorkerState.STARTING, "unhealthy"),
        (WorkerState.UNHEALTHY, "unhealthy"),
        (WorkerState.DRAINING, "draining"),
    ],
)
def test_a_worker_that_is_not_ready_refuses(state: WorkerState, code: str) -> None:
    assert refusal(opening(), INFO, state, 1) == code
