"""A usage event: processed audio `[from_ms, to_ms)` of one stream. Pure; the same everywhere it travels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from metering import fields
from metering.fields import MAX_MS, Malformed

LIVE, RECORDED = "live", "recorded"
KINDS = (LIVE, RECORDED)
# Who says so: the gateway that heard it from the worker, or the worker's own log, by reconciliation.
GATEWAY, INFERENCE_LOG = "gateway", "inference_log"
SOURCES = (GATEWAY, INFERENCE_LOG)


@dataclass(frozen=True)
class UsageEvent:
    task: ClassVar[str] = "metering.record_usage"

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
    kind: str = LIVE
    processed_at: str = ""  # ISO 8601 with a zone; a gateway of before did not say: when it is recorded
    source: str = GATEWAY

    @property
    def event_id(self) -> str:
        """The same range of the same stream has the same id wherever and however often it is emitted."""
        return f"{self.stream}:{self.from_ms}"

    def __str__(self) -> str:
        return f"usage {self.event_id} to {self.to_ms} ms"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def parse(raw: object) -> UsageEvent:
    """`raw` as an event, or `Malformed` naming the field."""
    if not isinstance(raw, Mapping):
        raise Malformed("a usage event is an object")
    event = UsageEvent(
        **{name: fields.identifier(raw, name) for name in ("tenant", "project", "key")},
        **{name: fields.text(raw, name) for name in ("stream", "model", "region", "worker")},
        from_ms=fields.whole(raw, "from_ms", MAX_MS),
        to_ms=fields.whole(raw, "to_ms", MAX_MS),
        tags=fields.tags(raw),
        # A gateway of before did not say.
        kind=fields.one_of({"kind": LIVE, **raw}, "kind", KINDS),
        processed_at=fields.moment(raw, "processed_at") if raw.get("processed_at") else "",
        source=fields.one_of({"source": GATEWAY, **raw}, "source", SOURCES),
    )
    if event.to_ms <= event.from_ms:
        raise Malformed("to_ms is not after from_ms")
    return event
