"""The worker's life: receive, pick the next batch, step, publish, again. It does no I/O of its own.

`receive` and `gateway_lost` are called from the same event loop, at any time, also while a step is under way
in the engine's thread; that is why they queue changes to slots instead of making them, and why a result is
matched with the lease that its row was taken under.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

import structlog

from inference_worker import latency, results, scheduler
from inference_worker.admission import recorded_slots, refusal
from inference_worker.batch import Batch, log_timings
from inference_worker.breaker import Breaker
from inference_worker.engine_room import EngineRoom
from inference_worker.engine_thread import Closing, Opening, Outcome
from inference_worker.engines.base import Engine, Output
from inference_worker.inference_log import NotWritten
from inference_worker.recording import Recorder
from inference_worker.recycling import Drift
from inference_worker.slots import Lease, SlotArena
from inference_worker.streams import Stream, StreamError
from inference_worker.telemetry import Telemetry
from inference_worker.waiting import wait_at_most
from inference_worker.watchdog import HANGS_AFTER_S
from wire.messages import (
    SAMPLE_RATE,
    Abort,
    AnyItem,
    Audio,
    End,
    Ended,
    Final,
    Flush,
    Open,
    Opened,
    Partial,
    Refused,
    ToGateway,
    WorkerState,
)

Send = Callable[[str, list[ToGateway]], None]

log = structlog.get_logger("worker")


class Worker:
    def __init__(
        self,
        engine: Engine,
        send: Send,
        telemetry: Telemetry,
        *,
        name: str = "worker",
        max_streams: int = 64,
        recorded_share: float = 1.0,
        wait: scheduler.Wait = scheduler.DEFAULT_WAIT,
        changed: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        hangs_after_s: float = HANGS_AFTER_S,
        breaker: Breaker | None = None,
        drift: Drift | None = None,
        recorder: Recorder | None = None,
        debug_timing: bool = False,
    ) -> None:
        """`send` takes messages for a gateway; `changed` is called when the state may have changed."""
        self.info, self.telemetry = engine.info, telemetry
        self.name = name
        self.room = EngineRoom(engine, telemetry, clock, breaker, drift)
        self.slots: SlotArena[Stream] = SlotArena(min(max_streams, engine.info.max_streams))
        self._recorded_slots = recorded_slots(self.slots.size, recorded_share)
        self._send, self._wait, self._changed, self._clock = send, wait, changed, clock
        self._hangs_after_s = hangs_after_s
        self._recorder = recorder or Recorder()
        self._streams: dict[str, Stream] = {}
        self._recorded = 0  # of them
        self._ready: scheduler.Ready[Stream] = scheduler.Ready()
        self._changes: list[Opening | Closing] = []
        self._leases: dict[int, Lease] = {}  # as the engine knows them
        self._work = asyncio.Event()
        self._started = self._draining = False
        self._told = WorkerState.STARTING
        self._debug_timing = debug_timing
        telemetry.capacity.set(self.slots.size)

    # ---- what it is

    @property
    def state(self) -> WorkerState:
        if not self._started:
            return WorkerState.STARTING
        if self.room.busy_s > self._hangs_after_s or self.room.breaker.open or self._recorder.trouble:
            return WorkerState.UNHEALTHY
        return WorkerState.DRAINING if self._draining else WorkerState.READY

    @property
    def started(self) -> bool:
        return self._started

    @property
    def active(self) -> int:
        return self.slots.active

    @property
    def recorded_room(self) -> int:
        """Slots that recorded audio may still take. The others are kept for whoever speaks now."""
        return min(self._recorded_slots - self._recorded, self.slots.size - self.active)

    # ---- receive

    def receive(self, gateway: str, items: Iterable[AnyItem]) -> None:
        """What a gateway sent, once and in order."""
        now = self._clock()
        for item in items:
            if isinstance(item, Open):
                self._admit(gateway, item)
                continue
            stream = self._streams.get(item.stream)
            # Of an older epoch, of a stream that has ended here, or of another gateway's: too late to matter.
            if stream is None or stream.epoch != item.epoch or stream.gateway != gateway:
                if isinstance(item, Abort):
                    self._recorder.broken_off(gateway, item)
                continue
            try:
                self._take_in(stream, item, now)
            except StreamError as error:
                self._fail(stream, error.code)
        self._work.set()

    def gateway_lost(self, gateway: str) -> None:
        """Nobody is there to hear: free its streams."""
        for stream in [stream for stream in self._streams.values() if stream.gateway == gateway]:
            self._leave(stream, "gateway_lost")

    def holds_streams_of(self, gateway: str) -> bool:
        return any(stream.gateway == gateway for stream in self._streams.values())

    def _admit(self, gateway: str, opening: Open) -> None:
        older = self._streams.get(opening.stream)
        if older is not None and older.epoch >= opening.epoch:
            return
        if older is not None:
            self._leave(older, "replaced")
        code = refusal(opening, self.info, self.state, self.recorded_room)
        stream = Stream(
            id=opening.stream,
            epoch=opening.epoch,
            gateway=gateway,
            tenant=opening.tenant,
            options=opening.options,
            start=opening.start,
            replay_until=opening.replay_until,
        )
        lease = None if code else self.slots.claim(stream)
        if lease is not None and not self._recorder.opened(stream, opening):
            self.slots.release(lease)
            lease, code = None, "not_recorded"
        if lease is None:
            code = code or "no_capacity"
            self.telemetry.refused.labels(code).inc()
            self._send(gateway, [Refused(stream=opening.stream, epoch=opening.epoch, code=code)])
            return
        stream.lease = lease
        self._streams[stream.id] = stream
        self._recorded += not stream.live
        self._changes.append(Opening(lease, stream.options, stream.start))
        self.telemetry.opened.inc()
        self.telemetry.active.set(self.active)
        info = self.info
        self._send(
            gateway,
            [
                Opened(
                    stream=stream.id,
                    epoch=stream.epoch,
                    worker=self.name,
                    model=info.model,
                    version=info.version,
                    arch=info.arch,
                    chunk=info.chunk_samples,
                )
            ],
        )
        log.info("stream opened", stream=stream.id, slot=lease.slot, active=self.active)

    def _take_in(self, stream: Stream, item: AnyItem, now: float) -> None:
        if isinstance(item, Audio):
            stream.audio(item.position, item.pcm, now)
        elif isinstance(item, Flush):
            stream.flush(item.token, now)
        elif isinstance(item, End):
            stream.end(now, item.input_ms)
        elif isinstance(item, Abort):
            self._leave(stream, "aborted", item.processed)
            return
        self._look_at(stream)

    # ---- the loop

    async def run(self) -> None:
        """Until it is drained. Starts with the warm-up; raises what that raises."""
        await self.room.warm_up()
        self._started = True
        self._changed()
        while not (self._draining and not self._streams):
            await self._work_to_do()
            batch = self._next_batch()
            outcome = await self._step(batch)
            self._publish(batch, outcome)
            self._tell_of_changes()
        await self.room.shut_down()

    def _tell_of_changes(self) -> None:
        if self.state is not self._told:
            self._told = self.state
            self._changed()

    def drain(self) -> None:
        """Take no new stream; `run` returns once those here have ended."""
        self._draining = True
        self._work.set()
        self._changed()

    def give_up(self, code: str = "worker_stopping") -> None:
        """Fail by name whatever is still here."""
        for stream in list(self._streams.values()):
            self._fail(stream, code)

    async def _work_to_do(self) -> None:
        if self._ready or self._changes or self.room.has_backlog:
            return  # never wait while work is ready
        if self.room.breaker.open:
            # No stream is here, and none is let in.
            await self.room.probe(self._work, in_a_hurry=lambda: self._draining)
            return
        self._work.clear()
        await wait_at_most(self._work, None)
        await self._company()

    async def _company(self) -> None:
        """Idle until now, so the first chunk waits a little for others, unless everybody is there already.
        Recorded audio alone does not wait: a file would wait once a chunk."""
        until = self._clock() + self._wait.seconds(self.active)
        while 0 < len(self._ready.live) < min(self.active - self._recorded, self.room.limit.size):
            self._work.clear()
            if not await wait_at_most(self._work, until - self._clock()):
                return

    def _next_batch(self) -> Batch:
        now, chunk = self._clock(), self.info.chunk_samples
        beside_live = bool(self._ready.live)
        riders = self._ready.take(now, self.room.limit.size, self.info.recorded_beside)
        batch = Batch(riders=riders, began=now)
        # Long rows are for recorded audio among itself: beside live rows they would hold those up.
        bulk = 1 if beside_live else self.info.bulk_chunks
        for stream, _ in riders:
            stream.queued = False
            batch.rows.append(stream.take(chunk, 1 if stream.live else bulk, now))
            self._look_at(stream)
        self.telemetry.queued(batch.waited(now))
        return batch

    async def _step(self, batch: Batch) -> Outcome:
        changes, self._changes = self._changes, []
        for change in changes:
            if isinstance(change, Opening):
                self._leases[change.lease.slot] = change.lease
            elif self._leases.get(change.lease.slot) == change.lease:
                del self._leases[change.lease.slot]
        return await self.room.do(changes, batch)

    def _publish(self, batch: Batch, outcome: Outcome) -> None:
        outgoing: dict[str, list[ToGateway]] = {}
        samples = 0
        for of, output, items, progress in self._recorded_results(outcome):
            samples += progress
            outgoing.setdefault(of.gateway, []).extend(items)
            self._has_heard(of, output, items, batch.done)
        for gateway, items in outgoing.items():
            self._send(gateway, items)
        for slot, code in outcome.failed.items():
            if stream := self._holder(slot):
                self._fail(stream, code)
        if self.room.breaker.open:
            self.give_up("engine_failed")
        routed = self._clock()
        self.telemetry.answered(batch.waited(routed))
        self.telemetry.audio.inc(samples / SAMPLE_RATE)
        if samples and outcome.steps:
            engine_s = sum(seconds for _, seconds in outcome.steps)
            self.telemetry.real_time_factor.set(engine_s * SAMPLE_RATE / samples)
        if self._debug_timing:
            log_timings(batch, routed)

    def _recorded_results(self, outcome: Outcome) -> list[tuple[Stream, Output, list[ToGateway], int]]:
        """What a step said, and how many samples it processed of each; written before anybody is told."""
        said = []
        for output in outcome.outputs:
            if stream := self._holder(output.slot):
                before = stream.processed
                items = results.messages(stream, output)
                said.append((stream, output, items, stream.processed - before))
        try:
            self._recorder.step([(stream, _is_over(items)) for stream, _, items, _ in said])
        except NotWritten:
            for stream, _, _, progress in said:
                stream.processed -= progress  # nobody is told of it, so nobody pays for it
            self.give_up("not_recorded")
            return []
        return said

    def _has_heard(self, stream: Stream, output: Output, said: list[ToGateway], now: float) -> None:
        if output.hypotheses or output.speech_started_ms is not None:
            latency.observe(stream, output, now, self.telemetry)
            self.telemetry.finals.inc(sum(isinstance(item, Final) for item in said))
            self.telemetry.partials.inc(sum(isinstance(item, Partial) for item in said))
        if _is_over(said):
            self._leave(stream, "ended")
        else:
            self._look_at(stream)

    # ---- streams and slots

    def _holder(self, slot: int) -> Stream | None:
        lease = self._leases.get(slot)
        return self.slots.holder(lease) if lease else None

    def _look_at(self, stream: Stream) -> None:
        chunk = self.info.chunk_samples
        if not stream.queued and stream.ready(chunk):
            stream.queued = True
            self._turns(stream).add(stream, stream.tenant, stream.since(chunk))

    def _turns(self, stream: Stream) -> scheduler.Turns[Stream]:
        return self._ready.live if stream.live else self._ready.recorded

    def _fail(self, stream: Stream, code: str) -> None:
        self._send(stream.gateway, [results.failure(stream, code)])
        self._leave(stream, code)

    def _leave(self, stream: Stream, how: str, heard: int | None = None) -> None:
        self._recorder.left(stream, heard)
        if self.slots.release(stream.lease):
            self._changes.append(Closing(stream.lease))
        self._turns(stream).discard(stream, stream.tenant)
        if self._streams.get(stream.id) is stream:
            del self._streams[stream.id]
            self._recorded -= not stream.live
        self.telemetry.ended.labels(how).inc()
        self.telemetry.active.set(self.active)
        self._work.set()
        log.info(
            "stream left", stream=stream.id, how=how, processed_s=round(stream.processed / SAMPLE_RATE, 3)
        )


def _is_over(said: list[ToGateway]) -> bool:
    return bool(said) and isinstance(said[-1], Ended)
