"""How far a drain is. Pure: from what the gateways of the region say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

# One that may only be cut off from the database goes on. After that long it is taken for dead.
SILENT_FOR_S = 60


class Reporting(Protocol):
    @property
    def label(self) -> str: ...
    @property
    def heard(self) -> bool: ...
    @property
    def silent_s(self) -> float: ...
    @property
    def streams(self) -> int: ...
    @property
    def version(self) -> int: ...


@dataclass(frozen=True)
class Progress:
    left: int
    done: bool
    line: str


def progress(gateways: Sequence[Reporting], version: int) -> Progress:
    """`version` is that of the drain: whoever goes by an earlier one may still take streams."""
    heard = [gateway for gateway in gateways if gateway.heard]
    missed = [gateway for gateway in gateways if not gateway.heard and gateway.silent_s < SILENT_FOR_S]
    silent = [gateway for gateway in missed if gateway.streams or gateway.version < version]
    behind = [gateway for gateway in heard if gateway.version < version]
    left = sum(gateway.streams for gateway in (*heard, *silent))
    parts = [f"{left} stream{'s' * (left != 1)} left"]
    if busy := [f"{gateway.label} {gateway.streams}" for gateway in heard if gateway.streams]:
        parts.append(", ".join(busy))
    if behind:
        parts.append(f"not yet told: {', '.join(gateway.label for gateway in behind)}")
    if silent:
        gone = ", ".join(f"{g.label} for {g.silent_s:.0f} s (it had {g.streams})" for g in silent)
        parts.append(f"silent: {gone}")
    if not heard:
        parts.append("no gateway of it reports")
    return Progress(left, not (left or behind or silent), "; ".join(parts))
