"""What stays the same in all messages of a stream."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class About:
    request_id: str
    region: str
    worker: str
    model: str
    version: str
    arch: str
    created: str
    channels: int = 1
    tags: tuple[str, ...] = ()
    extra: tuple[tuple[str, str], ...] = ()
    expires_at: int = 0  # when the stream has been open for as long as it may: seconds since 1970
