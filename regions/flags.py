"""What can be switched while everything runs: for all, for one region, for one tenant. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Described:
    means: str
    default: bool


RESUME, RECORDED = "resume", "recorded"

KNOWN: Mapping[str, Described] = MappingProxyType(
    {
        RESUME: Described("streams can be resumed, and are moved when a region drains", default=True),
        RECORDED: Described("recorded audio is taken", default=True),
    }
)

MAX_SETTINGS = 1000  # that every gateway reads


@dataclass(frozen=True, slots=True)
class Setting:
    name: str
    region: str
    tenant: UUID | None
    value: bool


@dataclass(frozen=True)
class Flags:
    """Those that are set. A tenant's counts before its region's, and that before the one for all."""

    settings: Mapping[tuple[str, str, UUID | None], bool] = field(default_factory=dict)

    def on(self, name: str, *, region: str, tenant: UUID) -> bool:
        for where in ((name, "", tenant), (name, region, None), (name, "", None)):
            if where in self.settings:
                return self.settings[where]
        return KNOWN[name].default


def flags(settings: Iterable[Setting]) -> Flags:
    return Flags({(s.name, s.region, s.tenant): s.value for s in settings})
