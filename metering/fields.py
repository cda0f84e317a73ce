"""Reads the fields of what travels through Celery. Pure. A refusal names the field, but no value: tags are
the customer's."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

MAX_MS = 7 * 24 * 3600 * 1000
MAX_TEXT = 128
MAX_TAGS = 16


class Malformed(ValueError):
    """It does not have the fields, types or ranges it must have."""


def identifier(raw: Mapping[str, Any], name: str) -> str:
    try:
        return str(uuid.UUID(raw[name]))
    except (KeyError, ValueError, TypeError, AttributeError):
        raise Malformed(f"{name} is not a UUID") from None


def text(raw: Mapping[str, Any], name: str, *, empty: bool = False) -> str:
    value = raw.get(name)
    # PostgreSQL takes neither NUL nor half a surrogate pair, and would refuse the others with this one.
    if not isinstance(value, str) or len(value) > MAX_TEXT or not value.isprintable() or not (value or empty):
        raise Malformed(f"{name} is not a text of {0 if empty else 1} to {MAX_TEXT} printable characters")
    return value


def whole(raw: Mapping[str, Any], name: str, most: int, least: int = 0) -> int:
    value = raw.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise Malformed(f"{name} is not a whole number from {least} to {most}")
    return value


def one_of(raw: Mapping[str, Any], name: str, allowed: tuple[str, ...]) -> str:
    value = raw.get(name)
    if value not in allowed:
        raise Malformed(f"{name} is not one of {', '.join(allowed)}")
    return str(value)


def moment(raw: Mapping[str, Any], name: str) -> str:
    """A time with its zone, in ISO 8601: as one of UTC, for not every zone is one that PostgreSQL reads."""
    try:
        value = datetime.fromisoformat(raw[name])
        if value.tzinfo is not None:
            return value.astimezone(UTC).isoformat()
    except (KeyError, ValueError, TypeError, OverflowError):
        pass
    raise Malformed(f"{name} is not a time with a zone")


def tags(raw: Mapping[str, Any]) -> tuple[str, ...]:
    value = raw.get("tags", ())
    if (
        not isinstance(value, list | tuple)
        or len(value) > MAX_TAGS
        or not all(isinstance(tag, str) and len(tag) <= MAX_TEXT and tag.isprintable() for tag in value)
    ):
        raise Malformed(f"tags is a list of at most {MAX_TAGS} printable strings")
    return tuple(value)
