"""How far a drain is. Pure: from what the gateways of the region say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

SILENCE_TOLD_S = 60  # for longer, it is an old story


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
    behind = [gateway for gateway in heard if gateway.version < version]
    left = sum(gateway.streams for gateway in heard)
    parts = [f"{left} stream{'s' * (left != 1)} left"]
    if busy := [f"{gateway.label} {gateway.streams}" for gateway in heard if gateway.streams]:
        parts.append(", ".join(busy))
    if behind:
        parts.append(f"not yet told: {', '.join(gateway.label for gateway in behind)}")
    if silent := [g for g in gateways if not g.heard and g.streams and g.silent_s < SILENCE_TOLD_S]:
        gone = ", ".join(f"{g.label} for {g.silent_s:.0f} s (it had {g.streams})" for g in silent)
        parts.append(f"silent: {gone}")
    if not heard:
        parts.append("no gateway of it reports")
    return Progress(left, left == 0 and not behind, "; ".join(parts))
