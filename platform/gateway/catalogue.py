"""The models that the workers of this gateway serve. Pure."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from wire.messages import Heartbeat

# Made of the name, so that every gateway calls a model the same without asking anybody.
_NAMESPACE = uuid.UUID("6f2b7e3a-51c9-5d0e-9a34-2d6f0c8b1e75")


@dataclass(frozen=True)
class Model:
    name: str
    engine: str
    languages: tuple[str, ...]

    @property
    def uuid(self) -> str:
        return uuid_of(self.name)


def uuid_of(name: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, name))


def models(heartbeats: Iterable[Heartbeat]) -> list[Model]:
    """Each model once, with all languages that some worker hears with it."""
    found: dict[str, Model] = {}
    for heartbeat in heartbeats:
        before = found.get(heartbeat.model)
        languages = {*heartbeat.languages, *(before.languages if before else ())}
        found[heartbeat.model] = Model(heartbeat.model, heartbeat.engine, tuple(sorted(languages)))
    return [found[name] for name in sorted(found)]


def find(known: Iterable[Model], asked: str) -> Model | None:
    """By its name or its uuid."""
    return next((model for model in known if asked in (model.name, model.uuid)), None)
