"""An entry of the request log: one stream, live or recorded, from its acceptance to its end. Pure.

It tells what was asked and how it ended, never what was said: neither audio nor transcript is in it.
Usage events are what is billed; the log is what a customer looks a request up in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from metering import fields
from metering.events import KINDS
from metering.fields import MAX_MS, Malformed

MAX_CHANNELS = 64


@dataclass(frozen=True)
class Request:
    task: ClassVar[str] = "metering.record_requests"

    tenant: str
    project: str
    key: str
    request_id: str
    kind: str  # "live" or "recorded"
    path: str
    started_at: str  # ISO 8601 with a zone
    ended_at: str
    outcome: str  # "done", "client_left", or the code of the error that ended it
    status: int  # of HTTP, as if it had been an answer: 200, or that of the error
    audio_ms: int  # that the client sent
    billed_ms: int  # of all channels together
    channels: int
    model: str
    version: str
    language: str
    region: str
    worker: str
    tags: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"request {self.request_id}"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def parse(raw: object) -> Request:
    """`raw` as an entry, or `Malformed` naming the field."""
    if not isinstance(raw, Mapping):
        raise Malformed("an entry of the request log is an object")
    return Request(
        **{name: fields.identifier(raw, name) for name in ("tenant", "project", "key")},
        **{
            name: fields.text(raw, name)
            for name in ("request_id", "path", "outcome", "model", "region", "worker")
        },
        **{name: fields.text(raw, name, empty=True) for name in ("version", "language")},
        **{name: fields.moment(raw, name) for name in ("started_at", "ended_at")},
        kind=fields.one_of(raw, "kind", KINDS),
        status=fields.whole(raw, "status", 599, least=100),
        audio_ms=fields.whole(raw, "audio_ms", MAX_MS),
        billed_ms=fields.whole(raw, "billed_ms", MAX_MS * MAX_CHANNELS),
        channels=fields.whole(raw, "channels", MAX_CHANNELS, least=1),
        tags=fields.tags(raw),
    )
