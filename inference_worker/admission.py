"""Whether a stream may have a slot here. Pure."""

from __future__ import annotations

from inference_worker.engines.base import EngineInfo
from wire.messages import Open, WorkerState


def refusal(opening: Open, info: EngineInfo, state: WorkerState, recorded_room: int) -> str | None:
    """The code of the reason why not, or None. Whether a slot is free is the arena's to say."""
    options = opening.options
    if state is not WorkerState.READY:
        return "draining" if state is WorkerState.DRAINING else "unhealthy"
    if options.model not in ("", "default", info.model):
        return "unknown_model"
    if options.version not in ("", "latest", info.version):
        return "unknown_version"
    # "en-GB" is asked of an engine that knows "en".
    language = options.language.lower().partition("-")[0]
    if language and language not in info.languages:
        return "unknown_language"
    if options.recorded and recorded_room <= 0:
        return "no_capacity"
    return None


def recorded_slots(slots: int, share: float) -> int:
    """How many of the slots recorded audio may hold: one of few, so that a small worker takes it, too."""
    return max(int(slots * share), 1 if share else 0)
