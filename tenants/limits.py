"""How much a plan or a project may do. Pure; None is no limit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any
from uuid import UUID

# The plan of whoever is given no other. A migration makes it; its limits can be changed.
DEFAULT_PLAN = UUID("00000000-0000-4000-8000-000000000001")
MS_PER_HOUR = 3_600_000


@dataclass(frozen=True, slots=True)
class Limits:
    """A plan's hold for all projects of a tenant together, a project's for itself; where both have one, both
    hold. Numbers are positive."""

    streams_at_once: int | None = None
    openings_a_minute: int | None = None  # new streams
    requests_a_second: int | None = None
    audio_hours_a_day: Decimal | None = None  # of processed audio, from midnight to midnight UTC

    @property
    def audio_ms_a_day(self) -> int | None:
        return None if self.audio_hours_a_day is None else int(self.audio_hours_a_day * MS_PER_HOUR)


UNLIMITED = Limits()
NAMES = tuple(field.name for field in fields(Limits))


def limits_of(source: object) -> Limits:
    """Those in the attributes of `source`: a plan, a project."""
    return Limits(**{name: getattr(source, name) for name in NAMES})


def from_json(values: Mapping[str, Any]) -> Limits:
    """As PostgreSQL writes them; a name that this version does not know is passed over."""
    known = {name: values.get(name) for name in NAMES}
    hours = known["audio_hours_a_day"]
    known["audio_hours_a_day"] = None if hours is None else Decimal(str(hours))
    return Limits(**known)


def as_json(limits: Limits) -> dict[str, int | float | None]:
    """For the audit log."""
    found: dict[str, int | float | None] = {name: getattr(limits, name) for name in NAMES}
    hours = limits.audio_hours_a_day
    found["audio_hours_a_day"] = None if hours is None else float(hours)
    return found
