from __future__ import annotations

import uuid
from typing import Any

import pytest

from metering.fields import MAX_MS, Malformed
from metering.requests import parse

GOOD: dict[str, Any] = {
    "tenant": str(uuid.uuid4()),
    "project": str(uuid.uuid4()),
    "key": str(uuid.uuid4()),
    "request_id": str(uuid.uuid4()),
    "kind": "recorded",
    "path": "/v1/listen",
    "started_at": "2026-01-01T10:00:00.000+00:00",
    "ended_at": "2026-01-01T10:00:05.000+00:00",
    "outcome": "done",
    "status": 200,
    "audio_ms": 5000,
    "billed_ms": 10_000,
    "channels": 2,
    "model": "m",
    "version": "",
    "language": "",
    "region": "local",
    "worker": "w",
    "tags": ["a"],
}


def test_what_is_emitted_is_what_is_read() -> None:
    request = parse(GOOD)
    assert parse(request.as_dict()) == request
    assert request.tags == ("a",)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tenant", "acme"),
        ("request_id", ""),
        ("kind", "dead"),
        ("path", "x" * 129),
        ("started_at", "yesterday"),
        ("started_at", "2026-01-01T10:00:00"),
        ("ended_at", None),
        ("outcome", "a\0b"),
        ("status", 99),
        ("status", "200"),
        ("audio_ms", -1),
        ("audio_ms", MAX_MS + 1),
        ("billed_ms", 1.5),
        ("channels", 0),
        ("version", None),
        ("tags", [1]),
    ],
)
def test_a_malformed_entry_is_refused_by_the_name_of_its_field(field: str, value: Any) -> None:
    with pytest.raises(Malformed, match=field):
        parse({**GOOD, field: value})


@pytest.mark.parametrize("field", [name for name in GOOD if name != "tags"])
def test_every_field_is_needed(field: str) -> None:
    with pytest.raises(Malformed, match=field):
        parse({name: value for name, value in GOOD.items() if name != field})


def test_what_is_no_object_is_no_entry() -> None:
    with pytest.raises(Malformed):
        parse([])
