"""Order and repair between two processes over a channel layer that may lose messages. No I/O, no clock.

A `Peer` is one side's view of the other. What it is given to send goes out in numbered envelopes and is
kept until the other side acknowledges it. An envelope that arrives out of order is dropped and asked for
again by repeating the last good number, so items are delivered once each, in order, or the peer is
`broken` by name; never silently incomplete. A broken peer is thrown away; a new one has the next `link`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from wire.messages import AnyItem, Audio, Envelope

MAX_ENVELOPE_BYTES = 256 * 1024
ITEM_OVERHEAD_BYTES = 200


MIN_RESENDS = 3


class PeerBroken(Exception):
    """The other side has not acknowledged for longer or more than this side can keep, or has given up."""


def _weight(item: AnyItem) -> int:
    if isinstance(item, Audio):
        return len(item.pcm) + ITEM_OVERHEAD_BYTES
    words = getattr(item, "words", ())
    return ITEM_OVERHEAD_BYTES + 64 * len(words)


@dataclass
class Peer:
    """`me` and the number of the next envelope; what is out and not acknowledged; what came in."""

    me: str
    link: int = 1
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
    _fruitless_resends: int = 0

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
            # Counting as well as timing: a process that was suspended gets to hear before it judges.
            late = now - self._last_progress > self.broken_after_s
            if late and self._fruitless_resends >= MIN_RESENDS:
                raise PeerBroken("no acknowledgement in time")
            if now - self._last_resend >= self.resend_after_s:
                envelopes += self._resend(now)
        while self._waiting:
            envelopes.append(self._pack())
        if self._must_answer and not envelopes:
            envelopes.append(self._envelope())
        self._must_answer = False
        return envelopes

    def receive(self, envelope: Envelope, now: float) -> tuple[AnyItem, ...]:
        """The items of `envelope` if it is the next in order; else none, and a repeat is asked for."""
        if envelope.link != self.link:
            return ()
        if envelope.broken:
            raise PeerBroken("the other side has given this link up")
        self._acknowledge(envelope, now)
        if envelope.seq == 0:
            return ()
        self._must_answer = True
        if envelope.seq != self.received + 1:
            return ()
        self.received = envelope.seq
        return envelope.items

    def farewell(self) -> Envelope:
        """Says that this side has given the link up, so that the other need not find out by waiting."""
        return Envelope(sender=self.me, link=self.link, broken=True)

    def keepalive(self) -> Envelope:
        """Says that this side lives, when it has nothing else to say."""
        return self._envelope()

    @property
    def idle(self) -> bool:
        return not (self._unacknowledged or self._waiting or self._must_answer)

    @property
    def unacknowledged_bytes(self) -> int:
        return self._unacknowledged_bytes + self._waiting_bytes

    def _acknowledge(self, envelope: Envelope, now: float) -> None:
        if envelope.ack >= self._next_seq:
            raise PeerBroken("the other side acknowledges what was never sent")
        progressed = False
        while self._unacknowledged and self._unacknowledged[0][0].seq <= envelope.ack:
            _, weight = self._unacknowledged.popleft()
            self._unacknowledged_bytes -= weight
            progressed = True
        if progressed:
            self._last_progress = self._last_resend = now
            self._fruitless_resends = 0

    def _resend(self, now: float) -> list[Envelope]:
        self._last_resend = now
        self._fruitless_resends += 1
        self.resent += len(self._unacknowledged)
        return [self._envelope(sent.seq, sent.items) for sent, _ in self._unacknowledged]

    def _envelope(self, seq: int = 0, items: tuple[AnyItem, ...] = ()) -> Envelope:
        return Envelope(sender=self.me, link=self.link, seq=seq, ack=self.received, items=items)

    def _pack(self) -> Envelope:
        items: list[AnyItem] = []
        weight = 0
        while self._waiting and (not items or weight + _weight(self._waiting[0]) <= MAX_ENVELOPE_BYTES):
            item = self._waiting.popleft()
            items.append(item)
            weight += _weight(item)
        self._waiting_bytes -= weight
        envelope = self._envelope(self._next_seq, tuple(items))
        self._next_seq += 1
        self._unacknowledged.append((envelope, weight))
        self._unacknowledged_bytes += weight
        return envelope
