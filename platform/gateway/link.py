"""The gateway process's end of the channel layer: heartbeats in, and one `Peer` for each worker it uses.

Items of all streams for one worker are gathered for a few milliseconds and travel as one message. A worker
that falls silent, says that it stopped, or stops acknowledging is lost: its streams are told at once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from faults.pauses import pause_s
from gateway import telemetry
from gateway.errors import NoCapacity, NoWorker, Unavailable, UnknownModel
from gateway.placements import Owner as Owner
from gateway.placements import Placement as Placement
from gateway.placements import Receiver as Receiver
from gateway.workers import SILENT_AFTER_S, Pool, serves
from wire import addresses
from wire.codec import WireError, encode_envelope
from wire.mailbox import Layer, Mailbox
from wire.messages import (
    Abort,
    Envelope,
    Failed,
    Heartbeat,
    Open,
    Opened,
    Refused,
    StreamOptions,
    ToWorker,
    WorkerState,
)
from wire.sequence import Peer, PeerBroken
from wire.tasks import end

log = logging.getLogger(__name__)

GATHER_S = 0.004
HOUSEKEEPING_S = 0.1
STALLED_LOOK_S = 0.5
LATE_S = 0.25
KEEPALIVE_S = 2.0
OPEN_TIMEOUT_S = 2.0
SEND_TIMEOUT_S = 2.0
START_AGAIN_S = 0.5
OPEN_ATTEMPTS = 3
# Streams that may catch up on new workers at a time, so that those who were there before are not flooded.
MOVES_AT_ONCE = 64
LEAVING = (WorkerState.DRAINING, WorkerState.UNHEALTHY)


@dataclass(frozen=True)
class _Stream:
    epoch: int
    receiver: Receiver


@dataclass
class _Worker:
    peer: Peer
    streams: dict[str, _Stream] = field(default_factory=dict)
    spoke_at: float = 0.0


class Link:
    def __init__(
        self,
        layer: Layer,
        region: str,
        *,
        silent_after_s: float = SILENT_AFTER_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.pool = Pool(silent_after_s=silent_after_s)
        self.heard_at: float | None = None
        self.moves = asyncio.Semaphore(MOVES_AT_ONCE)
        self._layer = layer
        self._region = region
        self._clock = clock
        self._mailbox: Mailbox | None = None
        self._workers: dict[str, _Worker] = {}
        self._last_link = 0
        self._looked_at, self._late = 0.0, False
        self._opening: dict[tuple[str, int], asyncio.Future[Opened | Refused]] = {}
        self._something_to_send = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Returns when it listens: at once, or when Redis has come."""
        tries = 0
        while self._mailbox is None:
            try:
                mailbox = await Mailbox.open(
                    self._layer, addresses.GATEWAY_PREFIX, dropped=telemetry.messages_dropped.inc
                )
                await mailbox.join(addresses.heartbeat_group(self._region))
                self._mailbox = mailbox
            except Exception as error:
                log.warning("cannot listen on the channel layer: %s", type(error).__name__)
                with suppress(Exception):
                    await self._layer.flush()
                tries += 1
                await asyncio.sleep(pause_s(tries, first_s=START_AGAIN_S, longest_s=10 * START_AGAIN_S))
        loops = (self._receive_forever, self._send_forever, self._keep_house_forever)
        self._tasks = [asyncio.create_task(loop(), name=f"link {loop.__name__}") for loop in loops]

    async def stop(self) -> None:
        await end(self._tasks)
        if self._mailbox is not None:
            await self._mailbox.close()

    @property
    def alive(self) -> bool:
        return bool(self._tasks) and not any(task.done() for task in self._tasks)

    @property
    def active(self) -> int:
        return sum(len(worker.streams) for worker in self._workers.values())

    # ---- streams

    async def open(
        self,
        stream: str,
        owner: Owner,
        options: StreamOptions,
        receiver: Receiver,
        epoch: int = 1,
        start: int = 0,
        replay_until: int = 0,
        without: frozenset[str] = frozenset(),
    ) -> Placement:
        """Find the stream a worker that has taken it, none of those `without`. Raises `Unavailable` when
        there is none.

        A stream that has been open comes with a higher epoch and the position where it goes on; audio before
        `replay_until` has been heard by a worker before.
        """
        tried = without
        refused: Refused | None = None
        for _ in range(OPEN_ATTEMPTS):
            heartbeat = self.pool.choose(options, tried)
            if heartbeat is None:
                break
            tried |= {heartbeat.address}
            # Each attempt is an epoch of its own, so that what a worker says too late is nobody's.
            answer = await self._ask(
                heartbeat.address,
                Open(
                    stream=stream,
                    epoch=epoch,
                    tenant=owner.tenant,
                    options=options,
                    start=start,
                    project=owner.project,
                    key=owner.key,
                    tags=owner.tags,
                    replay_until=replay_until,
                ),
                receiver,
            )
            if isinstance(answer, Opened):
                return Placement(stream, epoch, heartbeat.address, answer)
            refused, epoch = answer, epoch + 1
        raise self._refusal(options, refused)

    def check(self, options: StreamOptions) -> None:
        """Raise what `open` would, where that is clear already: nobody serves this, full or not."""
        if not any(serves(heartbeat, options) for heartbeat in self.pool.ready()):
            raise self._refusal(options, None)

    def send(self, address: str, items: Iterable[ToWorker]) -> None:
        worker = self._workers.get(address)
        if worker is None:
            return
        try:
            worker.peer.send(items)
        except PeerBroken as error:
            self._lose(address, str(error))
        self._something_to_send.set()

    def release(self, address: str, stream: str, epoch: int) -> None:
        """The stream is over; nothing more is delivered to it. Not to somebody who has come back to it."""
        worker = self._workers.get(address)
        if worker is not None and (known := worker.streams.get(stream)) and known.epoch == epoch:
            del worker.streams[stream]

    def give_back(self, placement: Placement, processed: int) -> None:
        """The stream is not to be there, after all, or no longer; we have heard of it until `processed`."""
        self.send(
            placement.address, [Abort(stream=placement.stream, epoch=placement.epoch, processed=processed)]
        )
        self.release(placement.address, placement.stream, placement.epoch)

    async def _ask(self, address: str, item: Open, receiver: Receiver) -> Opened | Refused | None:
        answer: asyncio.Future[Opened | Refused] = asyncio.get_running_loop().create_future()
        self._worker(address).streams[item.stream] = _Stream(item.epoch, receiver)
        self._opening[item.stream, item.epoch] = answer
        self.send(address, [item])
        accepted = False
        try:
            # Not `wait_for`, which in Python 3.11 may lose a cancellation that comes with the answer.
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                result = await answer
            if isinstance(result, Opened) and not self._holds(address, item):
                result = Refused(stream=item.stream, epoch=item.epoch, code="worker_lost")
            accepted = isinstance(result, Opened)
            return result
        except TimeoutError:
            telemetry.open_timeouts.inc()
            return None
        finally:
            del self._opening[item.stream, item.epoch]
            if not accepted:
                # Also when the client left meanwhile: the worker may be about to give it a slot.
                self.send(address, [Abort(stream=item.stream, epoch=item.epoch, processed=item.start)])
                self.release(address, item.stream, item.epoch)

    def _holds(self, address: str, item: Open) -> bool:
        worker = self._workers.get(address)
        stream = worker.streams.get(item.stream) if worker is not None else None
        return stream is not None and stream.epoch == item.epoch

    def _refusal(self, options: StreamOptions, refused: Refused | None) -> Unavailable | UnknownModel:
        ready = self.pool.ready()
        if not ready:
            return NoWorker()
        if not any(serves(heartbeat, options) for heartbeat in ready):
            known = sorted({f"{heartbeat.model} ({', '.join(heartbeat.languages)})" for heartbeat in ready})
            return UnknownModel(f"Here are: {', '.join(known)}.")
        if refused is not None and refused.code.startswith("unknown_"):
            return UnknownModel(
                f"A worker has the model, but not this version ({options.version})."
                if refused.code == "unknown_version"
                else ""
            )
        return NoCapacity(retry_after_s=refused.retry_after_s if refused is not None else None)

    # ---- workers

    def _worker(self, address: str) -> _Worker:
        if address not in self._workers:
            self._last_link += 1
            peer = Peer(me=self._address, link=self._last_link)
            self._workers[address] = _Worker(peer, spoke_at=self._clock())
        return self._workers[address]

    @property
    def _address(self) -> str:
        if self._mailbox is None:
            raise RuntimeError("the link has not been started")
        return self._mailbox.address

    def _lose(self, address: str, why: str) -> None:
        self.pool.forget(address)
        worker = self._workers.pop(address, None)
        if worker is None:
            return
        telemetry.workers_lost.inc()
        log.warning("worker %s lost (%s) with %d streams", address, why, len(worker.streams))
        for name, stream in worker.streams.items():
            # Whoever is still opening it reads it there instead, also if it had been taken.
            if not self._answer_open(Refused(stream=name, epoch=stream.epoch, code="worker_lost")):
                stream.receiver.receive_worker_lost(name)

    def _answer_open(self, answer: Opened | Refused) -> bool:
        """False when nobody waits for it: the stream is open, or whoever opened it has left."""
        opening = self._opening.get((answer.stream, answer.epoch))
        if opening is None:
            return False
        if not opening.done():
            opening.set_result(answer)
        return True

    # ---- the three loops

    async def _receive_forever(self) -> None:
        if self._mailbox is None:
            return
        while True:
            try:
                message = await self._mailbox.receive()
            except WireError as error:
                telemetry.wire_errors.inc()
                log.warning("dropped a message: %s", error)
                await asyncio.sleep(GATHER_S)
                continue
            if isinstance(message, Heartbeat):
                self._hear(message)
            else:
                self._receive(message)

    def _hear(self, heartbeat: Heartbeat) -> None:
        if heartbeat.region != self._region:
            return
        self.heard_at = self._clock()
        self.pool.hear(heartbeat, self.heard_at)
        if heartbeat.state is WorkerState.STOPPED:
            self._lose(heartbeat.address, "stopped")
        elif heartbeat.state in LEAVING and (worker := self._workers.get(heartbeat.address)):
            for name, stream in list(worker.streams.items()):
                stream.receiver.receive_worker_leaving(name)

    def _receive(self, envelope: Envelope) -> None:
        worker = self._workers.get(envelope.sender)
        if worker is None:
            return
        try:
            items = worker.peer.receive(envelope, self._clock())
        except PeerBroken as error:
            self._lose(envelope.sender, str(error))
            return
        for item in items:
            if isinstance(item, Opened | Refused):
                self._answer_open(item)
            elif (stream := worker.streams.get(item.stream)) is None or stream.epoch != item.epoch:
                continue
            elif isinstance(item, Failed) and (item.stream, item.epoch) in self._opening:
                del worker.streams[item.stream]  # before whoever opens it could read that it was open
            else:
                stream.receiver.receive_from_worker(item)  # type: ignore[arg-type]  # a worker sends ToGateway only
        # Nothing is sent for the acknowledgement alone: it travels with the next audio, or soon after.

    async def _send_forever(self) -> None:
        while True:
            await self._something_to_send.wait()
            self._something_to_send.clear()
            await self._send_due()
            # What comes in the meantime travels together; what comes after a pause does not wait.
            await asyncio.sleep(GATHER_S)

    async def _keep_house_forever(self) -> None:
        # Sends nothing itself: Redis may hang, and who is silent must be found out all the same.
        stalled_look_at = self._looked_at = self._clock()
        while True:
            await asyncio.sleep(HOUSEKEEPING_S)
            now = self._clock()
            self._lose_the_silent(now)
            if now - stalled_look_at >= STALLED_LOOK_S:
                stalled_look_at = now
                self._leave_the_stalled(now)
            self._something_to_send.set()
            telemetry.streams_active.set(self.active)
            telemetry.workers_ready.set(len(self.pool.ready()))

    def _lose_the_silent(self, now: float) -> None:
        # Were we kept from our work ourselves, we read first what came meanwhile.
        self._late = not self._late and now - self._looked_at > HOUSEKEEPING_S + LATE_S
        self._looked_at = now
        if not self._late:
            for address in self.pool.silent(now):
                self._lose(address, "silent")

    def _leave_the_stalled(self, now: float) -> None:
        for worker in list(self._workers.values()):
            for name, stream in list(worker.streams.items()):
                if stream.receiver.stalled(name, now):
                    stream.receiver.receive_worker_leaving(name)

    async def _send_due(self) -> None:
        now = self._clock()
        for address, worker in list(self._workers.items()):
            try:
                envelopes = worker.peer.envelopes_to_send(now)
            except PeerBroken as error:
                await self._post(address, worker.peer.farewell())
                self._lose(address, str(error))
                continue
            # Also on a link without streams, which the worker would give up in the end.
            if not envelopes and now - worker.spoke_at > KEEPALIVE_S:
                envelopes = [worker.peer.keepalive()]
            for envelope in envelopes:
                worker.spoke_at = now
                if not await self._post(address, envelope):
                    break  # those after it would arrive out of order

    async def _post(self, address: str, envelope: Envelope) -> bool:
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self._layer.send(address, encode_envelope(envelope))
        except Exception as error:
            # What was not sent stays unacknowledged and is sent again; when Redis stays away the peer breaks.
            telemetry.layer_errors.inc()
            log.warning("channel layer: %s", type(error).__name__)
            return False
        return True
