from __future__ import annotations

import uuid
from typing import Any

import pytest

from metering.events import UsageEvent, parse
from metering.fields import MAX_MS, Malformed

GOOD: dict[str, Any] = {
    "tenant": str(uuid.uuid4()),
    "project": str(uuid.uuid4()),
    "key": str(uuid.uuid4()),
    "stream": "s",
    "from_ms": 0,
    "to_ms": 5000,
    "model": "m",
    "region": "local",
    "worker": "w",
    "tags": ["a"],
}


def test_what_is_emitted_is_what_is_read() -> None:
    event = parse(GOOD)
    assert event.event_id == "s:0"
    assert parse(event.as_dict()) == event
    assert isinstance(event, UsageEvent)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tenant", "acme"),
        ("tenant", None),
        ("project", 7),
        ("key", ""),
        ("stream", ""),
        ("stream", "x" * 129),
        ("stream", "a\0b"),
        ("model", "\ud800"),
        ("model", None),
        ("from_ms", -1),
        ("from_ms", 0.0),
        ("from_ms", True),
        ("from_ms", "0"),
        ("to_ms", MAX_MS + 1),
        ("to_ms", 0),
        ("kind", "dead"),
        ("kind", None),
        ("processed_at", "yesterday"),
        ("processed_at", "2026-01-01T10:00:00"),
        ("processed_at", "0001-01-01T00:00:00+14:00"),
        ("processed_at", 5),
        ("source", "hearsay"),
        ("source", None),
        ("tags", "abc"),
        ("tags", [1]),
        ("tags", ["x"] * 17),
        ("tags", ["a\0b"]),
        ("tags", ["\udfff"]),
    ],
)
def test_a_malformed_event_is_refused_by_the_name_of_its_field(field: str, value: Any) -> None:
    with pytest.raises(Malformed, match=field):
        parse({**GOOD, field: value})


@pytest.mark.parametrize("raw", [None, [], "event", 7])
def test_what_is_no_object_is_no_event(raw: object) -> None:
    with pytest.raises(Malformed):
        parse(raw)


@pytest.mark.parametrize("field", [name for name in GOOD if name != "tags"])
def test_every_field_is_needed(field: str) -> None:
    with pytest.raises(Malformed, match=field):
        parse({name: value for name, value in GOOD.items() if name != field})


def test_a_gateway_of_before_said_neither_kind_nor_time_nor_source() -> None:
    before = parse(GOOD)
    assert (before.kind, before.processed_at, before.source) == ("live", "", "gateway")
    assert parse({**GOOD, "kind": "recorded"}).kind == "recorded"


@pytest.mark.parametrize("zone", ["+02:00", "+02:00:00.5"])
def test_a_time_is_of_utc_whatever_zone_it_came_with(zone: str) -> None:
    """PostgreSQL reads no zone of half a second, and would refuse the others with this one."""
    said = parse({**GOOD, "processed_at": f"2026-01-01T10:00:00{zone}"}).processed_at
    assert said.endswith("+00:00")
    assert said.startswith("2026-01-01T0")
