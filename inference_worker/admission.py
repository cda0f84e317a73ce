"""Whether a stream may have a slot here. Pure."""

from __future__ import annotations

from inference_worker.engines.base import EngineInfo
from wire.messages import Open, WorkerState

BUSY = {WorkerState.DRAINING: "draining", WorkerState.STOPPED: "draining"}


def refusal(opening: Open, info: EngineInfo, state: WorkerState) -> str | None:
    """The code of the reason why not, or None. Whether a slot is free is the arena's to say."""
    if state is not WorkerState.READY:
        return BUSY.get(state, "unhealthy")
    if opening.options.model not in ("", "default", info.model):
        return "unknown_model"
    if opening.options.version not in ("", info.version):
        return "unknown_version"
    # "en-GB" is asked of an engine that knows "en".
    language = opening.options.language.lower().partition("-")[0]
    if language and language not in info.languages:
        return "unknown_language"
    return None
