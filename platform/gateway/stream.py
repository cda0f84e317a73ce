"""A customer's stream, whatever it is said through: a socket or a request, in any dialect.

From admission to the last usage event. It owns the session, decodes for it, places its lanes on workers,
and carries what the session has to say to the worker and the meter. Its shell takes `next_message`s.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from gateway import receipts, telemetry
from gateway.about import About
from gateway.audio.base import Decoder, Pcm
from gateway.audio.decoders import decoder
from gateway.audio.offload import in_thread
from gateway.dues import Dues
from gateway.errors import (
    BadAudio,
    BadParameter,
    GatewayDraining,
    GatewayError,
    Unavailable,
    WorkerLost,
)
from gateway.events import (
    Answer,
    ClientMessage,
    Close,
    CloseStream,
    Command,
    Finalize,
    Summary,
    Transcript,
)
from gateway.link import Owner
from gateway.parameters import ListenParameters
from gateway.places import Places, Wish
from gateway.process import Process
from gateway.region_errors import RegionDraining
from gateway.request_log import entry, outcome
from gateway.resume.keeper import Resumption
from gateway.resume.visit import FOR_GOOD, Visit, lanes_of
from gateway.session import Limits, Session, State
from tenants.access import KeyGrant
from wire.messages import Failed, ToGateway

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
        has_place: bool = False,
        resumes: bool = False,
        resumption: Resumption | None = None,
    ) -> None:
        """`path` is where the client asked, for the request log. `limits` are those of the house, `audio` a
        decoder for the parameters, unless others are given. `has_place`: somebody of the same id has been let
        in for it, and keeps the place until it is open. `resumes`: its dialect has words for coming back, and
        `resumption` is what it comes back to."""
        self.house, self.grant, self.parameters, self.id = house, grant, parameters, request_id
        self.path = path
        self.about: About
        self.failure: GatewayError | None = None
        self.wake = asyncio.Event()  # there may be something to say, or the deadline may have moved
        self.room = asyncio.Event()  # there may be room for more audio
        self._audio = audio or decoder(parameters.format)
        self._has_place = has_place
        self._finished = self._for_good = self._decoding = False
        self.dues = Dues(self, 0 if resumption is None else resumption.record.stand.called_back)
        self._last_word: Summary | None = None  # while it waits for its receipt
        # The second: of audio in the format before this one, or to another gateway.
        lanes, self._earlier_ms = lanes_of(request_id, parameters, house.recovery.lead_s, resumption)
        self.session = Session(
            lanes=lanes,
            limits=limits or house.limits,
            features=parameters.features,
            now=time.monotonic(),
        )
        self.places = Places(house.link, self.session, self, self.fail, house.recovery.move_within_s)
        self.visit: Visit | None = None
        if resumes and house.keeper is not None:
            self.visit = Visit(house.keeper, self, resumption, self._earlier_ms)

    # ---- opening

    async def open(self) -> None:
        """Find a place and a worker for every lane, or raise the refusal. Nothing is left behind then."""
        self.house.admit()
        # Known to the house from now on: a revocation or a stop must not miss a stream that is opening.
        self.house.streams.add(self)
        try:
            await self._check_callback()
            if not self._has_place:
                await self.house.admission.enter(self, self.processed_ms)
                await self.house.openings.turn(self.parameters.options(), self.parameters.lanes)
            if self.failure is not None:
                raise self.failure
            for lane in self.session.lanes:
                await self.places.open(lane, self._wish(self.parameters), self._generation)
                if self.failure is not None:
                    raise self.failure
        except BaseException:
            self.places.give_back()
            self.places.release()  # else lanes that have lost theirs meanwhile would go on looking
            self.house.streams.remove(self)
            if not self._has_place:
                self.house.admission.leave(self, opened=False)
            self._audio.close()
            raise
        self.house.admission.hand_over(self)
        opened = self.places.opened(self.session.lanes[0].name)
        now = time.time()
        opened_at = now if self.visit is None or self.visit.resumption is None else self.visit.opened_at
        self.about = About(
            request_id=self.id,
            region=self.house.region,
            worker=opened.worker,
            model=opened.model,
            version=opened.version,
            arch=opened.arch,
            created=datetime.fromtimestamp(opened_at, UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
            channels=self.parameters.lanes,
            tags=self.parameters.tags,
            extra=self.parameters.extra,
            expires_at=int(opened_at + self.session.max_s),
        )
        self.session.restart_clock(time.monotonic(), now - opened_at)
        self.send_due()
        if self.visit is not None:
            self.visit.begin()

    @property
    def _generation(self) -> int:
        """Of the connections of the stream. 0: this is the first."""
        return 0 if self.visit is None or self.visit.resumption is None else self.visit.generation

    def _wish(self, parameters: ListenParameters) -> Wish:
        grant = self.grant
        owner = Owner(str(grant.tenant_id), str(grant.project_id), str(grant.key_id), parameters.tags)
        return Wish(owner, parameters.options())

    async def _check_callback(self) -> None:
        if self.parameters.callback:
            await self.house.outbound.check(self.parameters.callback)
            if self.house.callbacks.full:
                raise Unavailable("Callbacks cannot be recorded at the moment.", retry_after_s=10)

    # ---- changing what was asked for

    async def change(self, parameters: ListenParameters) -> None:
        """Go on with these from the next byte on; what came before is finished as it was.

        The worker has its options for as long as it has the stream, so when they change it is given the
        stream anew. Raises `BadParameter`, and goes on as before, when nobody serves what is asked for.
        """
        before, self.parameters = self.parameters, parameters
        self.session.change_features(parameters.features)
        if parameters.format != before.format:
            await self._decode(self._audio.finish(), quick=False)
            self._earlier_ms += self._audio.input_ms
            self._audio.close()
            self._audio = decoder(parameters.format)
        if parameters.served_as(before) or not await self._finish_what_was_said():
            return
        try:
            await self._move(parameters)
        except BadParameter:
            self.parameters = replace(parameters, model=before.model, language=before.language)
            await self._move(self.parameters)
            raise

    async def _finish_what_was_said(self) -> bool:
        """False when the stream has ended meanwhile."""
        if any(lane.sent for lane in self.session.lanes):
            self.session.receive(Finalize(), time.monotonic())
            self.send_due()
        while self.session.state is State.OPEN and any(lane.flushing for lane in self.session.lanes):
            self.room.clear()
            await self.room.wait()
        return self.session.state is State.OPEN

    async def _move(self, parameters: ListenParameters) -> None:
        self.session.bill()
        self.send_due()
        await self.places.change(self._wish(parameters))

    @property
    def processed_ms(self) -> int:
        """Of all lanes together, as it is billed."""
        # A worker that hears a resumed stream again is not as far yet as it has been billed.
        return sum(max(lane.processed_ms, lane.billed_ms) - lane.skipped_ms for lane in self.session.lanes)

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
        if isinstance(command, Answer):
            self.wake.set()
        await self._moved()

    def complain(self, error: GatewayError) -> None:
        """The client said something that is nothing in its dialect, or asked for what nobody has."""
        telemetry.bad_messages.inc()
        self.session.receive_bad_message(error, time.monotonic())
        self.wake.set()

    def leave(self, code: int = 1006) -> None:
        """The client is gone, with that close code, or has heard the end: nothing more is done."""
        self._for_good = self._for_good or code in FOR_GOOD
        if self.visit is not None and self.session.state is State.OPEN:
            self._keep_what_is_decoded()
        self.session.receive_disconnect()
        self.finish(self.session.close_to_send or Close(1006))

    def _keep_what_is_decoded(self) -> None:
        """As far as that can be done at once. What is not here a client that comes back sends again."""
        with suppress(BadAudio):
            for pcm in self._audio.finish() if self._audio.quick(0) and not self._decoding else ():
                self.session.receive_audio(pcm, self._earlier_ms + self._audio.input_ms)

    async def _decode(self, pieces: Iterator[Pcm], *, quick: bool) -> None:
        self._decoding = not quick
        try:
            if quick:
                for pcm in pieces:
                    self.session.receive_audio(pcm, self._earlier_ms + self._audio.input_ms)
                await self._moved()
            else:
                async for pcm in in_thread(pieces, of_a_file=self.parameters.recorded):
                    self.session.receive_audio(pcm, self._earlier_ms + self._audio.input_ms)
                    await self._moved()
                    if self.session.state is not State.OPEN:
                        return
        except BadAudio as error:
            self.fail(error)
        finally:
            self._decoding = False

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
        if isinstance(item, Failed):
            self.places.failed(item)
        self.places.look()
        self._woken()

    def receive_worker_lost(self, stream: str) -> None:
        self.places.lost(stream, WorkerLost())
        self._woken()

    def receive_worker_leaving(self, stream: str) -> None:
        self.places.leave(stream)

    def stalled(self, stream: str, now: float) -> bool:
        # Recorded audio yields to whoever speaks now, however long.
        return not self.parameters.recorded and self.session.stalled(stream, now)

    def fail(self, error: GatewayError) -> None:
        self.failure = self.failure or error
        self.session.fail(error)
        self.send_due()
        self._woken()

    def wind_up(self, error: GatewayError) -> bool:
        """End it by name with nothing lost; see `Session.wind_up`. Where nobody hears finals as they come, or
        no worker has all of it yet, it fails at once: more of it would be billed and of no use to anybody."""
        if self.session.state is State.CLOSED:
            return False
        if self.parameters.recorded or not self.places.complete:
            self.fail(error)
            return True
        begun = self.session.wind_up(error, time.monotonic())
        self.send_due()
        self._woken()
        return begun

    def move_away(self, address: str = "") -> bool:
        """Have the client come back: at another region, or another gateway. False: it cannot, and stays."""
        if self.visit is None or not self.visit.may_be_moved or self.session.state is State.CLOSED:
            return False
        self.session.say(self.visit.welcome(address))
        self.fail(RegionDraining() if address else GatewayDraining())
        return True

    def part(self, error: GatewayError) -> None:
        """It goes on with another connection: nothing that this one does later may touch what they share."""
        self.session.part(error)
        self.finish(Close(error.close_code, error.code))
        self._woken()

    def _woken(self) -> None:
        self.wake.set()
        self.room.set()

    # ---- to the client

    def tick(self) -> None:
        self.session.tick(time.monotonic())
        self.send_due()

    async def message(self) -> ClientMessage | None:
        """The next message; the last word of a stream that ended well has its receipt in it."""
        message = self.session.next_message_to_send()
        if isinstance(message, Summary):
            self._last_word = message
            self.send_due()  # the last of it is metered, and so on the receipt
            # Of a stream that was resumed not all of it is known here; its receipt is made from the ledger.
            events = [] if self._generation else self.dues.events
            receipt = await receipts.ask(self.id, events)
            if self._last_word is None:
                return None  # whoever ended the stream meanwhile has said it
            message = replace(message, receipt=receipt)
        return self._said(message)

    def next_message(self) -> ClientMessage | None:
        return self._said(self._last_word or self.session.next_message_to_send())

    def _said(self, message: ClientMessage | None) -> ClientMessage | None:
        if isinstance(message, Summary):
            self._last_word = None
        if isinstance(message, Transcript):
            telemetry.results_sent.labels("final" if message.is_final else "partial").inc()
            # Here and nowhere else, so that whoever hears of it hears the same.
            message = replace(message, words=self.parameters.formatting.apply(message.words))
            if self.visit is not None:
                if message.mark is not None:
                    message = replace(message, resume_token=self.visit.token(message.mark))
                self.visit.said(message)
        # The answer to a recording is called back as a whole, by who makes it.
        if self.parameters.callback and not self.parameters.recorded:
            self.dues.call_back(message)
        return message

    # ---- to the worker and the meter

    def send_due(self) -> None:
        if self._finished:
            return  # its lanes may be those of another connection by now
        self.places.send_due()
        if self.places.complete:
            self.dues.meter(self.session.usage_to_record())

    def finish(self, close: Close) -> None:
        """The stream is over, whoever ended it: say so to the worker, the meter and the house. Once."""
        if self._finished:
            return
        if self.parameters.callback:
            while self.next_message() is not None:
                pass  # the client is gone, and its own server has not heard the rest
        self.send_due()
        self._finished = True
        self._audio.close()
        self.places.release()
        self.house.streams.remove(self)
        self.house.admission.leave(self)
        reason = outcome(close)
        if self.visit is None or not self.visit.finish(close, for_good=self._for_good):
            self.house.usage.emit([entry(self, close)])
        telemetry.streams_closed.labels(reason).inc()
        log.info(
            "stream %s of tenant %s closed: %s, %d ms billed",
            self.id,
            self.grant.tenant_id,
            reason,
            self.session.billed_ms,
        )
