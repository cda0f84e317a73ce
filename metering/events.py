"""A usage event: processed audio `[from_ms, to_ms)` of one stream. Pure; the same everywhere it travels."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

MAX_MS = 7 * 24 * 3600 * 1000
MAX_TEXT = 128
MAX_TAGS = 16


class MalformedEvent(ValueError):
    """A usage event does not have the fields, types or ranges it must have."""


@dataclass(frozen=True)
class UsageEvent:
    tenant: str
    project: str
    key: str
    stream: str
    from_ms: int
    to_ms: int
    model: str
    region: str
    worker: str
    tags: tuple[str, ...] = ()

    @property
    def event_id(self) -> str:
        """The same range of the same stream has the same id wherever and however often it is emitted."""
        return f"{self.stream}:{self.from_ms}"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def parse(raw: object) -> UsageEvent:
    """`raw` as an event, or `MalformedEvent` naming the field, but no value: tags are the customer's."""
    if not isinstance(raw, Mapping):
        raise MalformedEvent("a usage event is an object")
    tags = raw.get("tags", ())
    if (
        not isinstance(tags, list | tuple)
        or len(tags) > MAX_TAGS
        or not all(isinstance(tag, str) and len(tag) <= MAX_TEXT and tag.isprintable() for tag in tags)
    ):
        raise MalformedEvent(f"tags is a list of at most {MAX_TAGS} printable strings")
    event = UsageEvent(
        **{name: _id(raw, name) for name in ("tenant", "project", "key")},
        **{name: _text(raw, name) for name in ("stream", "model", "region", "worker")},
        from_ms=_ms(raw, "from_ms"),
        to_ms=_ms(raw, "to_ms"),
        tags=tuple(tags),
    )
    if event.to_ms <= event.from_ms:
        raise MalformedEvent("to_ms is not after from_ms")
    return event


def _id(raw: Mapping[str, Any], name: str) -> str:
    try:
        return str(uuid.UUID(raw[name]))
    except (KeyError, ValueError, TypeError, AttributeError):
        raise MalformedEvent(f"{name} is not a UUID") from None


def _text(raw: Mapping[str, Any], name: str) -> str:
    value = raw.get(name)
    # PostgreSQL takes neither NUL nor half a surrogate pair, and would refuse the others with this one.
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT or not value.isprintable():
        raise MalformedEvent(f"{name} is not a text of 1 to {MAX_TEXT} printable characters")
    return value


def _ms(raw: Mapping[str, Any], name: str) -> int:
    value = raw.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_MS:
        raise MalformedEvent(f"{name} is not a whole number of milliseconds")
    return value
