from __future__ import annotations

import uuid

from gateway import catalogue
from wire.messages import Heartbeat, WorkerState


def heartbeat(model: str, *languages: str, worker: str = "w") -> Heartbeat:
    return Heartbeat(
        worker=worker, address=f"worker.{worker}", region="test", state=WorkerState.READY,
        engine="scripted", model=model, languages=languages, capacity=1, active=0,
    )  # fmt: skip


def test_each_model_is_there_once_with_all_its_languages() -> None:
    found = catalogue.models([heartbeat("b", "en"), heartbeat("a", "en"), heartbeat("b", "de", "en")])
    assert [(model.name, model.languages) for model in found] == [("a", ("en",)), ("b", ("de", "en"))]
    assert catalogue.models([]) == []


def test_a_model_has_the_same_uuid_everywhere_and_no_other_model_has_it() -> None:
    a, b = catalogue.models([heartbeat("a"), heartbeat("b")])
    assert a.uuid == catalogue.uuid_of("a") == str(uuid.UUID(a.uuid))
    assert a.uuid != b.uuid
    assert catalogue.find([a, b], b.uuid) is b
    assert catalogue.find([a, b], "a") is a
    assert catalogue.find([a, b], "c") is None
