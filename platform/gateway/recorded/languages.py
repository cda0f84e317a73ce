"""The language of what was heard."""

from __future__ import annotations

from gateway.about import About
from gateway.process import Process


def of(house: Process, about: About, asked: str) -> str:
    """The one that was asked for; where any would do, the first that the worker speaks."""
    if asked and asked != "multi":
        return asked
    spoken = [h.languages for h in house.link.pool.all() if h.worker == about.worker and h.languages]
    return spoken[0][0] if spoken else "en"
