"""Channel-layer I/O: envelopes from and to gateways, heartbeats to their region. Knows nothing of streams.

The layer may lose messages; a `wire.sequence.Peer` for each gateway puts them in order and repairs losses.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog
from channels_redis.pubsub import RedisPubSubChannelLayer  # type: ignore[import-untyped]
from redis.exceptions import RedisError

from inference_worker.telemetry import Telemetry
from inference_worker.waiting import wait_at_most
from wire import addresses, codec
from wire.mailbox import MAX_QUEUED, Mailbox
from wire.messages import AnyItem, Envelope, Heartbeat, ToGateway
from wire.sequence import Peer, PeerBroken
from wire.tasks import stop_if_cancelled

TICK_S = 0.005  # results and acknowledgements of this long travel together
BEAT_S = 0.25
RESEND_CHECK_S = 0.1
SEND_TIMEOUT_S = 2.0
GATEWAY_SILENT_S = 10.0
IDLE_LINK_S = 600.0
MAX_GATEWAYS = 1024

log = structlog.get_logger("worker.transport")


class Receiver(Protocol):
    def receive(self, gateway: str, items: Iterable[AnyItem]) -> None: ...
    def gateway_lost(self, gateway: str) -> None: ...
    def holds_streams_of(self, gateway: str) -> bool: ...


@dataclass
class Link:
    peer: Peer
    heard: float
    resent: int = 0
    too_far_behind: bool = False


class Transport:
    def __init__(
        self,
        redis_url: str,
        region: str,
        telemetry: Telemetry,
        *,
        clock: Callable[[], float] = time.monotonic,
        silent_s: float = GATEWAY_SILENT_S,
        max_waiting: int = MAX_QUEUED,
    ) -> None:
        self._mailbox: Mailbox | None = None
        self._layer = RedisPubSubChannelLayer(hosts=[redis_url], prefix=addresses.LAYER_PREFIX)
        self._group = addresses.heartbeat_group(region)
        self._telemetry, self._clock = telemetry, clock
        self._silent_s, self._max_waiting = silent_s, max_waiting
        self._links: dict[str, Link] = {}
        self._given_up: OrderedDict[str, int] = OrderedDict()  # the last broken link of a gateway
        self._outgoing, self._beat = asyncio.Event(), asyncio.Event()
        self._taken_by_redis = float("-inf")

    async def open(self) -> None:
        """Get a channel. Raises what Redis raises."""
        self._mailbox = await Mailbox.open(
            self._layer,
            addresses.WORKER_PREFIX,
            dropped=self._telemetry.dropped.labels("queue_full").inc,
            most=self._max_waiting,
        )

    @property
    def address(self) -> str:
        """Our channel; empty until there is one."""
        return self._mailbox.address if self._mailbox else ""

    async def run(self, receiver: Receiver, heartbeat: Callable[[], Heartbeat]) -> None:
        """After `open`: receive, send and beat until cancelled."""
        if self._mailbox is None:
            raise RuntimeError("open comes first")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._receiving(self._mailbox, receiver))
            tasks.create_task(self._sending(receiver))
            tasks.create_task(self._beating(heartbeat, receiver))

    async def close(self, last: Heartbeat) -> None:
        """After `run` was cancelled: send what is left, and say so after it. A gateway takes no result of a
        worker that has stopped."""
        for gateway, link in self._links.items():
            await self._publish(gateway, link.peer.envelopes_to_send(self._clock()))
        await self._send_heartbeat(last)
        await self._layer.flush()

    @property
    def settled(self) -> bool:
        """True when every gateway has acknowledged all it was sent."""
        return all(link.peer.idle for link in self._links.values())

    def connected(self) -> bool:
        """True if Redis took a message of ours lately."""
        return self._clock() - self._taken_by_redis < 4 * BEAT_S + SEND_TIMEOUT_S

    def send(self, gateway: str, items: Sequence[ToGateway]) -> None:
        """Queue for the next tick. A gateway that has been given up gets nothing."""
        if link := self._links.get(gateway):
            try:
                link.peer.send(items)
            except PeerBroken:
                # The caller is in the middle of its streams: they are freed in the next tick.
                link.too_far_behind = True
            self._outgoing.set()

    def beat_now(self) -> None:
        self._beat.set()

    # ---- receiving

    async def _receiving(self, mailbox: Mailbox, receiver: Receiver) -> None:
        while True:
            try:
                envelope = await mailbox.receive()
            except codec.WireError as error:
                self._telemetry.dropped.labels("malformed").inc()
                log.warning("message dropped", error=str(error))
                await asyncio.sleep(TICK_S)
                continue
            if isinstance(envelope, Envelope):
                self._telemetry.received.inc()
                await self._deliver(envelope, receiver)

    async def _deliver(self, envelope: Envelope, receiver: Receiver) -> None:
        link = self._link(envelope, receiver)
        if link is None:
            if not envelope.broken and envelope.link <= self._given_up.get(envelope.sender, 0):
                # It does not know yet that this link is over.
                farewell = Peer(me=self.address, link=envelope.link).farewell()
                await self._publish(envelope.sender, [farewell])
            return
        now = self._clock()
        link.heard = now
        try:
            items = link.peer.receive(envelope, now)
        except PeerBroken:
            self._give_up(envelope.sender, receiver, "broken")
            return
        # The acknowledgement travels with the next results, or alone at the next check: sent now, it would
        # be what the results have to wait a tick for.
        if items:
            receiver.receive(envelope.sender, items)

    def _link(self, envelope: Envelope, receiver: Receiver) -> Link | None:
        """The link the envelope came on; a new one if the gateway has begun one."""
        sender = envelope.sender
        link = self._links.get(sender)
        if link is not None and envelope.link == link.peer.link:
            return link
        if addresses.GATEWAY_PREFIX not in sender or envelope.broken:
            return None
        if envelope.link <= self._given_up.get(sender, 0) or (link and envelope.link < link.peer.link):
            return None
        if link is not None:
            self._give_up(sender, receiver, "begun_again")
        if len(self._links) >= MAX_GATEWAYS:
            self._telemetry.dropped.labels("too_many_gateways").inc()
            return None
        link = Link(Peer(me=self.address, link=envelope.link), self._clock())
        self._links[sender] = link
        self._telemetry.links.set(len(self._links))
        return link

    # ---- sending

    async def _sending(self, receiver: Receiver) -> None:
        while True:
            await wait_at_most(self._outgoing, RESEND_CHECK_S)
            self._outgoing.clear()
            for gateway, link in list(self._links.items()):
                await self._flush(gateway, link, receiver)
            await asyncio.sleep(TICK_S)

    async def _flush(self, gateway: str, link: Link, receiver: Receiver) -> None:
        try:
            if link.too_far_behind:
                raise PeerBroken("too much is unacknowledged")
            envelopes = link.peer.envelopes_to_send(self._clock())
        except PeerBroken:
            if self._links.get(gateway) is link:
                self._give_up(gateway, receiver, "unacknowledged")
            envelopes = [link.peer.farewell()]
        self._telemetry.resent.inc(link.peer.resent - link.resent)
        link.resent = link.peer.resent
        await self._publish(gateway, envelopes)

    async def _publish(self, gateway: str, envelopes: Sequence[Envelope]) -> None:
        for envelope in envelopes:
            if not await self._to_redis(self._layer.send(gateway, codec.encode_envelope(envelope))):
                return  # the rest would fail as well; the peer sends all of it again
            self._telemetry.sent.inc()

    async def _to_redis(self, sending: Awaitable[None]) -> bool:
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await sending
        except (RedisError, OSError, TimeoutError) as error:
            self._telemetry.send_errors.inc()
            if self.connected():
                log.warning("Redis does not take messages", error=type(error).__name__)
            taken = False
        else:
            self._taken_by_redis = self._clock()
            taken = True
        # Redis' client may lose a cancellation that comes while it sends, and a loop would go on for ever.
        stop_if_cancelled()
        return taken

    # ---- heartbeats and silence

    async def _beating(self, heartbeat: Callable[[], Heartbeat], receiver: Receiver) -> None:
        while True:
            await self._send_heartbeat(heartbeat())
            self._let_go_of_the_silent(receiver)
            await wait_at_most(self._beat, BEAT_S)
            self._beat.clear()

    async def _send_heartbeat(self, heartbeat: Heartbeat) -> None:
        await self._to_redis(self._layer.group_send(self._group, codec.encode_heartbeat(heartbeat)))

    def _let_go_of_the_silent(self, receiver: Receiver) -> None:
        now = self._clock()
        for gateway, link in list(self._links.items()):
            silent = now - link.heard
            if silent > self._silent_s and receiver.holds_streams_of(gateway):
                self._give_up(gateway, receiver, "silent")
            elif silent > IDLE_LINK_S:
                self._give_up(gateway, receiver, "idle")

    def _give_up(self, gateway: str, receiver: Receiver, reason: str) -> None:
        link = self._links.pop(gateway)
        self._given_up[gateway] = link.peer.link
        self._given_up.move_to_end(gateway)
        while len(self._given_up) > MAX_GATEWAYS:
            self._given_up.popitem(last=False)
        self._telemetry.links.set(len(self._links))
        self._telemetry.links_lost.labels(reason).inc()
        log.info("gateway given up", gateway=gateway, reason=reason)
        receiver.gateway_lost(gateway)
