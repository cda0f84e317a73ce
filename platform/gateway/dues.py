"""What a stream owes: its usage as events, metered as it is processed, and remembered for the receipt; and
what is said of it to the customer's own server."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gateway.callbacks import Callback
from gateway.dialects import deepgram
from gateway.events import ClientMessage, Summary, Transcript, UsageRange
from gateway.receipts import Billed
from gateway.request_log import kind
from metering.events import UsageEvent

if TYPE_CHECKING:
    from gateway.stream import Stream


class Dues:
    def __init__(self, stream: Stream, called_back: int = 0) -> None:
        """`called_back`: so many finals have been, before its client came back."""
        self._stream = stream
        self._billed = Billed()
        self.called_back = called_back

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

    def call_back(self, message: ClientMessage | None) -> None:
        stream = self._stream
        if isinstance(message, Transcript) and message.seq < self.called_back:
            return  # it has been, before its client came back
        if isinstance(message, Summary) or (isinstance(message, Transcript) and message.is_final):
            stream.house.call_back(
                Callback(
                    project=str(stream.grant.project_id),
                    request_id=stream.id,
                    number=self.called_back,
                    url=stream.parameters.callback,
                    method=stream.parameters.callback_method,
                    body=deepgram.encode(message, stream.about),
                    created=time.time(),
                )
            )
            self.called_back += 1
