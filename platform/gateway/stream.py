"""A customer's stream, whatever it is said through: a socket or a request, in any dialect.

From admission to the last usage event. It owns the session, decodes for it, places its lanes on workers,
and carries what the session has to say to the worker and the meter. Its shell takes `next_message`s.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from gateway import telemetry
from gateway.about import About
from gateway.audio.base import Decoder, Pcm
from gateway.audio.decoders import decoder
from gateway.audio.offload import in_thread
from gateway.errors import BadAudio, BadMessage, GatewayError
from gateway.events import ClientMessage, Close, CloseStream, Command, Transcript, UsageRange
from gateway.lane import Lane
from gateway.link import Placement
from gateway.parameters import ListenParameters
from gateway.process import Process
from gateway.request_log import entry, kind, outcome
from gateway.session import Limits, Session, State
from metering.events import UsageEvent
from tenants.access import KeyGrant
from wire.messages import ToGateway

log = logging.getLogger(__name__)


class Stream:
    def __init__(
        self,
        house: Process,
        grant: KeyGrant,
        parameters: ListenParameters,
        request_id: str,
        *,
        path: str = "/v1/listen",
        limits: Limits | None = None,
        audio: Decoder | None = None,
    ) -> None:
        """`path` is where the client asked, for the request log. `limits` are those of the house, `audio` a
        decoder for the parameters, unless others are given."""
        self.house, self.grant, self.parameters, self.id = house, grant, parameters, request_id
        self.path = path
        self.about: About
        self.failure: GatewayError | None = None
        self.wake = asyncio.Event()  # there may be something to say, or the deadline may have moved
        self.room = asyncio.Event()  # there may be room for more audio
        self._audio = audio or decoder(parameters.format)
        self._placements: dict[str, Placement] = {}
        self._finished = False
        count = parameters.lanes
        names = [request_id] if count == 1 else [f"{request_id}.{channel}" for channel in range(count)]
        self.session = Session(
            lanes=tuple(Lane(name, channel) for channel, name in enumerate(names)),
            limits=limits or house.limits,
            features=parameters.features,
            now=time.monotonic(),
        )

    # ---- opening

    async def open(self) -> None:
        """Find a worker for every lane, or raise the refusal. Nothing is left behind then."""
        self.house.admit()
        # Known to the house from now on: a revocation or a stop must not miss a stream that is opening.
        self.house.streams.add(self)
        try:
            for lane in self.session.lanes:
                placement = await self.house.link.open(
                    lane.name, str(self.grant.tenant_id), self.parameters.options(), self
                )
                self._placements[lane.name] = placement
                lane.epoch = placement.epoch
                if self.failure is not None:
                    raise self.failure
        except BaseException:
            for placement in self._placements.values():
                self.house.link.give_back(placement)
            self._placements.clear()
            self.house.streams.remove(self)
            self._audio.close()
            raise
        opened = self._placements[self.session.lanes[0].name].opened
        self.about = About(
            request_id=self.id,
            region=self.house.region,
            worker=opened.worker,
            model=opened.model,
            version=opened.version,
            arch=opened.arch,
            created=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            channels=self.parameters.lanes,
            punctuate=self.parameters.punctuate,
            tags=self.parameters.tags,
            extra=self.parameters.extra,
        )
        self.session.restart_clock(time.monotonic())

    # ---- from the client

    async def hear(self, data: bytes) -> None:
        """Audio from the client. Returns when there is room for more."""
        if self.session.state is not State.OPEN:
            return
        telemetry.audio_bytes.inc(len(data))
        self.session.receive_bytes(data, time.monotonic())
        await self._decode(self._audio.feed(data), quick=self._audio.quick(len(data)))

    async def obey(self, command: Command) -> None:
        if isinstance(command, CloseStream) and self.session.state is State.OPEN:
            await self._decode(self._audio.finish(), quick=False)
        self.session.receive(command, time.monotonic())
        await self._moved()

    def complain(self, error: BadMessage) -> None:
        """The client said something that is nothing in its dialect."""
        telemetry.bad_messages.inc()
        self.session.receive_bad_message(error, time.monotonic())
        self.wake.set()

    def leave(self) -> None:
        """The client is gone, or has heard the end: nothing more is done."""
        self.session.receive_disconnect()
        self.finish(Close(1006))

    async def _decode(self, pieces: Iterator[Pcm], *, quick: bool) -> None:
        try:
            if quick:
                for pcm in pieces:
                    self.session.receive_audio(pcm, self._audio.input_ms)
                await self._moved()
            else:
                async for pcm in in_thread(pieces):
                    self.session.receive_audio(pcm, self._audio.input_ms)
                    await self._moved()
                    if self.session.state is not State.OPEN:
                        return
        except BadAudio as error:
            self.fail(error)

    async def _moved(self) -> None:
        # Nobody is woken: what the client sends makes nothing to say, and only puts deadlines off.
        self.send_due()
        while self.session.window_full:
            self.room.clear()
            await self.room.wait()
            self.session.listening(time.monotonic())

    # ---- from the link and the house, on the event loop

    def receive_from_worker(self, item: ToGateway) -> None:
        self.session.receive_from_worker(item)
        self._woken()

    def receive_worker_lost(self, lane: str) -> None:
        self.session.receive_worker_lost(lane)
        self._woken()

    def fail(self, error: GatewayError) -> None:
        self.failure = self.failure or error
        self.session.fail(error)
        self.send_due()
        self._woken()

    def _woken(self) -> None:
        self.wake.set()
        self.room.set()

    # ---- to the client

    def tick(self) -> None:
        self.session.tick(time.monotonic())
        self.send_due()

    def next_message(self) -> ClientMessage | None:
        message = self.session.next_message_to_send()
        if isinstance(message, Transcript):
            telemetry.results_sent.labels("final" if message.is_final else "partial").inc()
        return message

    # ---- to the worker and the meter

    def send_due(self) -> None:
        for lane in self.session.lanes:
            if lane.to_worker and (placement := self._placements.get(lane.name)):
                self.house.link.send(placement.address, self.session.items_to_send(lane))
        if self._placements and (usage := self.session.usage_to_record()):
            self.house.usage.emit([self._usage_event(part) for part in usage])

    def _usage_event(self, part: UsageRange) -> UsageEvent:
        return UsageEvent(
            tenant=str(self.grant.tenant_id),
            project=str(self.grant.project_id),
            key=str(self.grant.key_id),
            stream=part.lane,
            from_ms=part.from_ms,
            to_ms=part.to_ms,
            model=self.about.model,
            region=self.about.region,
            worker=self._placements[part.lane].opened.worker,
            tags=self.parameters.tags,
            kind=kind(self.parameters),
        )

    def finish(self, close: Close) -> None:
        """The stream is over, whoever ended it: say so to the worker, the meter and the house. Once."""
        if self._finished:
            return
        self._finished = True
        self.send_due()
        self._audio.close()
        for name, placement in self._placements.items():
            self.house.link.release(placement.address, name)
        self.house.streams.remove(self)
        reason = outcome(close)
        self.house.usage.emit([entry(self, close)])
        telemetry.streams_closed.labels(reason).inc()
        log.info(
            "stream %s of tenant %s closed: %s, %d ms billed",
            self.id,
            self.grant.tenant_id,
            reason,
            self.session.billed_ms,
        )
