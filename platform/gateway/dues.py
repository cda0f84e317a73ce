"""What a stream owes: its usage as events, metered as it is processed, and remembered for the receipt."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gateway.events import UsageRange
from gateway.receipts import Billed
from gateway.request_log import kind
from metering.events import UsageEvent

if TYPE_CHECKING:
    from gateway.stream import Stream


class Dues:
    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._billed = Billed()

    @property
    def events(self) -> list[UsageEvent]:
        return self._billed.events

    def meter(self, usage: Iterable[UsageRange]) -> None:
        if events := [self._event(part) for part in usage]:
            self._billed.add(events)
            self._stream.house.usage.emit(events)

    def _event(self, part: UsageRange) -> UsageEvent:
        stream = self._stream
        return UsageEvent(
            tenant=str(stream.grant.tenant_id),
            project=str(stream.grant.project_id),
            key=str(stream.grant.key_id),
            stream=part.lane,
            from_ms=part.from_ms,
            to_ms=part.to_ms,
            model=stream.about.model,
            region=stream.about.region,
            worker=stream.places.opened(part.lane).worker,
            tags=stream.parameters.tags,
            kind=kind(stream.parameters),
            processed_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        )
