"""Engines turn batches of audio chunks into words. Each is a plug-in behind `engines.base.Engine`.

To add one: a module here with a class that has `Engine`'s methods, a line in `FACTORIES` (which imports the
module only when it is wanted), its name in `config.env.ENGINE`, and its row in `tests/test_contract.py`.
"""

from __future__ import annotations

from collections.abc import Callable

from config import env
from inference_worker.engines.base import Engine, EngineStartError


def _scripted(max_streams: int) -> Engine:
    from pathlib import Path

    from inference_worker.engines import scripted

    path = env.SCRIPTED_FILE.read()
    return scripted.ScriptedEngine(
        scripted.read_script(Path(path)) if path else scripted.spoken(scripted.SENTENCES),
        max_streams=max_streams,
        trouble=scripted.Trouble(
            ms_per_step=env.SCRIPTED_STEP_MS.read(), ms_per_row=env.SCRIPTED_ROW_MS.read()
        ),
    )


def _moonshine(max_streams: int) -> Engine:
    from inference_worker.engines.moonshine import MoonshineEngine

    return MoonshineEngine(max_streams, parallel=env.ENGINE_THREADS.read())


def _nemo(max_streams: int) -> Engine:
    from inference_worker.engines.nemo.loading import TINY, load

    deterministic, dtype = env.DETERMINISTIC.read(), env.COMPUTE_DTYPE.read()
    if deterministic and dtype != "float32":
        raise EngineStartError(f"DETERMINISTIC is on and COMPUTE_DTYPE is {dtype}; it takes float32.")
    model = env.MODEL.read() or str(TINY)
    loaded = load(model, env.ATT_RIGHT_CONTEXT.read(), dtype, env.DEVICE.read())
    from inference_worker.engines.nemo import engine

    return engine.create(
        loaded,
        max_streams,
        deterministic=deterministic,
        threads=env.ENGINE_THREADS.read(),
        languages=env.MODEL_LANGUAGES.read(),
    )


FACTORIES: dict[str, Callable[[int], Engine]] = {
    "moonshine": _moonshine,
    "nemo": _nemo,
    "scripted": _scripted,
}


def create(name: str, max_streams: int) -> Engine:
    """The engine called `name`, for at most `max_streams` streams at once."""
    if name not in FACTORIES:
        raise EngineStartError(f"no engine is called {name!r}; there are {', '.join(sorted(FACTORIES))}")
    return FACTORIES[name](max_streams)
