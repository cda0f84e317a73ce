from __future__ import annotations

import pytest

from inference_worker.admission import refusal
from inference_worker.engines.base import EngineInfo
from wire.messages import Open, StreamOptions, WorkerState

INFO = EngineInfo("moonshine", "moonshine-tiny-en", "1", "a", ("en",), 1600, 4, 4)


def opening(model: str = "", language: str = "en") -> Open:
    return Open(stream="s", epoch=1, tenant="acme", options=StreamOptions(model=model, language=language))


@pytest.mark.parametrize("model", ["", "default", "moonshine-tiny-en"])
@pytest.mark.parametrize("language", ["en", "EN", "en-GB", "en-us", ""])
def test_what_it_can_do_is_admitted(model: str, language: str) -> None:
    assert refusal(opening(model, language), INFO, WorkerState.READY) is None


@pytest.mark.parametrize(
    ("model", "language", "code"),
    [("whisper", "en", "unknown_model"), ("", "de", "unknown_language"), ("", "english", "unknown_language")],
)
def test_what_it_cannot_do_is_refused_by_name(model: str, language: str, code: str) -> None:
    assert refusal(opening(model, language), INFO, WorkerState.READY) == code


def test_a_version_is_the_worker_s_or_none_in_particular() -> None:
    def asked(version: str) -> str | None:
        options = StreamOptions(version=version)
        return refusal(Open(stream="s", epoch=1, tenant="acme", options=options), INFO, WorkerState.READY)

    assert [asked(version) for version in ("", "1", "2")] == [None, None, "unknown_version"]


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (WorkerState.STARTING, "unhealthy"),
        (WorkerState.UNHEALTHY, "unhealthy"),
        (WorkerState.DRAINING, "draining"),
        (WorkerState.STOPPED, "draining"),
    ],
)
def test_a_worker_that_is_not_ready_refuses(state: WorkerState, code: str) -> None:
    assert refusal(opening(), INFO, state) == code
