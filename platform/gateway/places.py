"""On which worker each lane of a stream is, and how it comes to another when that one is lost or leaves.

A lane without a worker loses nothing: its audio stays on its tape, and the worker that takes it next is given
what may have been lost. What an earlier worker says too late is of an older epoch, and nobody's. A worker
that lives is left only when another has taken the lane, so where there is no room nothing changes.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass

from gateway import telemetry
from gateway.errors import EngineFailed, GatewayError, InternalError, Unavailable, UnknownModel, WorkerLost
from gateway.lane import Lane
from gateway.link import OPEN_ATTEMPTS, Link, Owner, Placement, Receiver
from gateway.resume.state import EPOCHS
from gateway.session import Session, State
from wire.messages import SAMPLE_RATE, Failed, Opened, StreamOptions

log = logging.getLogger(__name__)

# Between two looks for room; at random, so that streams that lost the same worker do not look all at once.
LOOK_AGAIN_S = (0.1, 0.4)
# A stream that has been moved lets the next one be moved when it has caught up, or after so long.
CATCH_UP_S = 10.0


@dataclass(frozen=True)
class Wish:
    """What is asked of a worker, and for whom."""

    owner: Owner
    options: StreamOptions


class Places:
    def __init__(
        self,
        link: Link,
        session: Session,
        receiver: Receiver,
        fail: Callable[[GatewayError], None],
        within_s: float,
    ) -> None:
        """`within_s`: for so long a lane that has lost its worker waits for room on another, and then it is
        `fail`ed."""
        self._link, self._session, self._receiver = link, session, receiver
        self._fail, self._within_s = fail, within_s
        self._wish: Wish
        self._now: dict[str, Placement] = {}
        self._last: dict[str, Opened] = {}
        self._epochs: dict[str, int] = {}  # the last that was asked for
        self._moving = asyncio.Lock()  # one change of places at a time
        self._moves: set[asyncio.Task[None]] = set()
        self._leaving: set[str] = set()
        self._news = asyncio.Event()

    @property
    def complete(self) -> bool:
        """Every lane has been taken by a worker. If it has lost that since, it comes to another."""
        return len(self._last) == len(self._session.lanes)

    @property
    def settled(self) -> bool:
        """Every lane has its worker, which is where it should be."""
        return all(
            lane.ended or (lane.name in self._now and not lane.catching_up) for lane in self._session.lanes
        )

    def opened(self, lane: str) -> Opened:
        """By the worker that has it, or had it last."""
        return self._last[lane]

    # ---- opening and closing

    async def open(self, lane: Lane, wish: Wish, generation: int = 0) -> None:
        """For the first time, or for that connection of a stream. Raises what `Link.open` raises."""
        self._wish = wish
        if generation:
            lane.epoch = generation * EPOCHS
            await self._reopen(lane)
            return
        self._take(lane, await self._link.open(lane.name, wish.owner, wish.options, self._receiver))
        lane.open_on(self._now[lane.name].epoch, self._now[lane.name].opened.chunk)

    async def change(self, wish: Wish) -> None:
        """Begin anew with something else asked for, all that was said being finished."""
        async with self._moving:
            self.give_back()
            self._wish = wish
            try:
                for lane in self._session.lanes:
                    if self._closed:
                        return
                    lane.start_over()
                    await self._reopen_in_time(lane)
            except BaseException:
                self.give_back()
                raise

    def give_back(self) -> None:
        """All of them."""
        for lane in self._session.lanes:
            self._give_back(lane)

    def release(self) -> None:
        """The stream is over: the workers know. What is under way is not done."""
        for name, placement in self._now.items():
            self._link.release(placement.address, name, placement.epoch)
        self._now.clear()  # the lanes may go on with another connection
        for move in self._moves:
            move.cancel()

    def send_due(self) -> None:
        if not self.complete:
            return  # it is not open yet, and what a worker said of it would have no number
        for lane in self._session.lanes:
            if (placement := self._now.get(lane.name)) and (items := lane.items_to_send()):
                self._link.send(placement.address, items)

    # ---- moving

    def lost(self, name: str, error: GatewayError) -> None:
        """Its worker is gone, or has given it up. The stream fails with the error if that is its own fault,
        or if nobody else takes it in time."""
        if (placement := self._now.pop(name, None)) is not None:
            self._link.release(placement.address, name, placement.epoch)
        self._news.set()
        lane = self._lane(name)
        if self._session.can_move(name, error):
            telemetry.streams_moved.labels(error.code).inc()
            self._start(self._move(lane, error))

    def failed(self, item: Failed) -> None:
        """Its worker has given it up: its engine is at fault, or it has to stop."""
        stops = item.code == "worker_stopping"
        self.lost(item.stream, WorkerLost() if stops else EngineFailed(f"Reason: {item.code}."))

    def leave(self, name: str) -> bool:
        """Its worker does no more, or will not for long, but lives. False when nobody else has room."""
        placement = self._now.get(name)
        if placement is None or name in self._leaving or self._lane(name).ended or self._closed:
            return False
        if not self._link.pool.has_room(self._wish.options, frozenset([placement.address])):
            return False
        self._leaving.add(name)
        self._start(self._leave(self._lane(name), placement))
        return True

    def look(self) -> None:
        """To be called when a worker has said something."""
        if self._moves:
            self._news.set()
            self.send_due()  # of a replay, what there is room for now

    # ---- inside

    @property
    def _closed(self) -> bool:
        return self._session.state is State.CLOSED

    def _lane(self, name: str) -> Lane:
        return next(lane for lane in self._session.lanes if lane.name == name)

    def _start(self, what: Coroutine[None, None, None]) -> None:
        move = asyncio.create_task(what, name="move a lane")
        self._moves.add(move)
        move.add_done_callback(self._moved)

    def _moved(self, move: asyncio.Task[None]) -> None:
        self._moves.discard(move)
        if not move.cancelled() and (error := move.exception()) is not None:
            # Nobody else would: the lane has no worker and waits for none.
            log.error("a lane cannot be moved", exc_info=error)
            self._fail(InternalError())

    async def _move(self, lane: Lane, error: GatewayError) -> None:
        began = time.monotonic()
        while True:
            # Whoever finds no room does not keep others waiting who may.
            async with self._link.moves:
                async with self._moving:
                    if lane.name in self._now or lane.ended or self._closed:
                        return
                    refused = await self._try_to_reopen(lane)
                if refused is None:
                    await self._caught_up(lane, began)
                    return
            if time.monotonic() - began >= self._within_s:
                log.warning("stream %s: nobody takes it (%s)", lane.name, refused.code)
                self._fail(error)
                return
            await asyncio.sleep(random.uniform(*LOOK_AGAIN_S))

    async def _leave(self, lane: Lane, before: Placement) -> None:
        began = time.monotonic()
        try:
            async with self._link.moves:
                async with self._moving:
                    if self._now.get(lane.name) is not before or lane.ended or self._closed:
                        return
                    if await self._try_to_reopen(lane, frozenset([before.address])) is not None:
                        return
                telemetry.streams_moved.labels("leaving").inc()
                await self._caught_up(lane, began)
        finally:
            self._leaving.discard(lane.name)

    async def _caught_up(self, lane: Lane, began: float) -> None:
        placement = self._now.get(lane.name)
        self.send_due()
        with suppress(TimeoutError):
            async with asyncio.timeout(CATCH_UP_S):
                while lane.catching_up and self._now.get(lane.name) is placement:
                    self._news.clear()
                    await self._news.wait()
        telemetry.move_seconds.observe(time.monotonic() - began)

    async def _reopen_in_time(self, lane: Lane) -> None:
        began = time.monotonic()
        while True:
            try:
                await self._reopen(lane)
            except Unavailable:
                if time.monotonic() - began >= self._within_s or self._closed:
                    raise
                await asyncio.sleep(random.uniform(*LOOK_AGAIN_S))
            else:
                return

    async def _try_to_reopen(self, lane: Lane, without: frozenset[str] = frozenset()) -> GatewayError | None:
        """The refusal, if nobody takes it."""
        try:
            await self._reopen(lane, without)
        except (Unavailable, UnknownModel) as refused:
            return refused
        return None

    async def _reopen(self, lane: Lane, without: frozenset[str] = frozenset()) -> None:
        """On another worker; the one that the lane has now, if any, keeps it until then."""
        epoch = max(self._epochs.get(lane.name, 0), lane.epoch) + 1
        # Each attempt takes an epoch of its own, also one that fails.
        self._epochs[lane.name] = epoch + OPEN_ATTEMPTS - 1
        start = lane.pin()
        try:
            placement = await self._link.open(
                lane.name,
                self._wish.owner,
                self._wish.options,
                self._receiver,
                epoch=epoch,
                start=start,
                replay_until=lane.processed,
                without=without,
            )
        except BaseException:
            lane.stay()
            raise
        if lane.ended or self._closed:
            # It is over, and its end went to the worker before, if it had one.
            self._link.give_back(placement, lane.processed)
            return
        self._give_back(lane)
        self._take(lane, placement)
        lane.go_on(placement.epoch, start, placement.opened.chunk)
        telemetry.replayed_seconds.inc(max(0, lane.processed - start) / SAMPLE_RATE)

    def _take(self, lane: Lane, placement: Placement) -> None:
        self._now[lane.name], self._last[lane.name] = placement, placement.opened

    def _give_back(self, lane: Lane) -> None:
        if (placement := self._now.pop(lane.name, None)) is not None:
            self._link.give_back(placement, lane.processed)
