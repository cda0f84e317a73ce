"""Order and repair between two processes over a channel layer that may lose messages. No I/O, no clock.

A `Peer` is one side's view of the other. What it is given to send goes out in numbered envelopes and is
kept until the other side acknowledges it. An envelope that arrives out of order is dropped and asked for
again by repeating the last good number, so items are delivered once each, in order, or the peer is
`broken` by name; never silently incomplete.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from wire.messages import AnyItem, Audio, Envelope

MAX_ENVELOPE_BYTES = 256 * 1024
ITEM_OVERHEAD_BYTES = 200


class PeerBroken(Exception):
    """The other side has not acknowledged for longer or more than this side can keep."""


def _weight(item: AnyItem) -> int:
    if isinstance(item, Audio):
        return len(item.pcm) + ITEM_OVERHEAD_BYTES
    words = getattr(item, "words", ())
    return ITEM_OVERHEAD_BYTES + 64 * len(words)


@dataclass
class Peer:
    """`me` and the number of the next envelope; what is out and not acknowledged; what came in."""

    me: str
    max_unacknowledged_bytes: int = 64 * 1024 * 1024
    resend_after_s: float = 0.5
    broken_after_s: float = 5.0

    received: int = 0
    resent: int = 0
    _next_seq: int = 1
    _unacknowledged: deque[tuple[Envelope, int]] = field(default_factory=deque)
    _unacknowledged_bytes: int = 0
    _waiting: deque[AnyItem] = field(default_factory=deque)
    _waiting_bytes: int = 0
    _must_answer: bool = False
    _last_progress: float = 0.0
    _last_resend: float = 0.0
    _last_gap: float = -1.0

    def send(self, items: Iterable[AnyItem]) -> None:
        for item in items:
            self._waiting.append(item)
            self._waiting_bytes += _weight(item)
        if self._unacknowledged_bytes + self._waiting_bytes > self.max_unacknowledged_bytes:
            raise PeerBroken("too much is unacknowledged")

    def envelopes_to_send(self, now: float) -> list[Envelope]:
        """New envelopes, then what must be sent again, then a bare acknowledgement if one is owed."""
        if not self._unacknowledged:
            self._last_progress = self._last_resend = now
        envelopes: list[Envelope] = []
        if self._unacknowledged:
            if now - self._last_progress > self.broken_after_s:
                raise PeerBroken("no acknowledgement in time")
            if now - self._last_resend >= self.resend_after_s:
                envelopes += self._resend(now)
        while self._waiting:
            envelopes.append(self._pack())
        if self._must_answer and not envelopes:
            envelopes.append(Envelope(sender=self.me, ack=self.received))
        self._must_answer = False
        return envelopes

    def receive(self, envelope: Envelope, now: float) -> tuple[AnyItem, ...]:
        """The items of `envelope` if it is the next in order; else none, and a repeat is asked for."""
        self._acknowledge(envelope, now)
        if envelope.seq == 0:
            return ()
        self._must_answer = True
        if envelope.seq != self.received + 1:
            return ()
        self.received = envelope.seq
        return envelope.items

    @property
    def idle(self) -> bool:
        return not (self._unacknowledged or self._waiting or self._must_answer)

    @property
    def unacknowledged_bytes(self) -> int:
        return self._unacknowledged_bytes + self._waiting_bytes

    def _acknowledge(self, envelope: Envelope, now: float) -> None:
        progressed = False
        while self._unacknowledged and self._unacknowledged[0][0].seq <= envelope.ack:
            _, weight = self._unacknowledged.popleft()
            self._unacknowledged_bytes -= weight
            progressed = True
        if progressed:
            self._last_progress = self._last_resend = now

    def _resend(self, now: float) -> list[Envelope]:
        self._last_resend = now
        self.resent += len(self._unacknowledged)
        return [
            Envelope(sender=self.me, seq=sent.seq, ack=self.received, items=sent.items)
            for sent, _ in self._unacknowledged
        ]

    def _pack(self) -> Envelope:
        items: list[AnyItem] = []
        weight = 0
        while self._waiting and (not items or weight + _weight(self._waiting[0]) <= MAX_ENVELOPE_BYTES):
            item = self._waiting.popleft()
            items.append(item)
            weight += _weight(item)
        self._waiting_bytes -= weight
        envelope = Envelope(sender=self.me, seq=self._next_seq, ack=self.received, items=tuple(items))
        self._next_seq += 1
        self._unacknowledged.append((envelope, weight))
        self._unacknowledged_bytes += weight
        return envelope
