"""On which worker each lane of a stream is, and how it comes to another when that one is lost or leaves.

A lane without a worker loses nothing: its audio stays on its tape, and the worker that takes it next is given
what may have been lost. What an earlier worker says too late is of an older epoch, and nobody's.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from gateway import telemetry
from gateway.errors import GatewayError, Unavailable, UnknownModel
from gateway.lane import Lane
from gateway.link import OPEN_ATTEMPTS, Link, Owner, Placement, Receiver
from gateway.session import Session, State
from wire.messages import SAMPLE_RATE, Opened, StreamOptions
from wire.tasks import end

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
        self._moving = asyncio.Lock()  # one change of places at a time
        self._moves: set[asyncio.Task[None]] = set()
        self._caught_up = asyncio.Event()

    @property
    def complete(self) -> bool:
        return len(self._now) == len(self._session.lanes)

    @property
    def settled(self) -> bool:
        """Every lane has its worker, which is where it should be."""
        return self.complete and not any(lane.catching_up for lane in self._session.lanes)

    def opened(self, lane: str) -> Opened:
        """By the worker that has it, or had it last."""
        return self._last[lane]

    # ---- opening and closing

    async def open(self, lane: Lane, wish: Wish) -> None:
        """For the first time. Raises what `Link.open` raises."""
        self._wish = wish
        self._take(lane, await self._link.open(lane.name, wish.owner, wish.options, self._receiver))
        lane.open_on(self._now[lane.name].epoch, self._now[lane.name].opened.chunk)

    async def change(self, wish: Wish) -> None:
        """Begin anew with something else asked for, all that was said being finished."""
        async with self._moving:
            self.give_back()
            self._wish = wish
            try:
                for lane in self._session.lanes:
                    lane.start_over()
                    await self._reopen(lane)
            except BaseException:
                self.give_back()
                raise

    def give_back(self) -> None:
        """All of them; what is under way is not done."""
        for lane in self._session.lanes:
            self._give_back(lane)

    def release(self) -> None:
        """The stream is over: the workers know."""
        for name, placement in self._now.items():
            self._link.release(placement.address, name)
        for move in self._moves:
            move.cancel()

    async def stop_moving(self) -> None:
        await end(list(self._moves))

    def send_due(self) -> None:
        for lane in self._session.lanes:
            if (placement := self._now.get(lane.name)) and (items := lane.items_to_send()):
                self._link.send(placement.address, items)

    # ---- moving

    def lost(self, name: str, error: GatewayError) -> None:
        """Its worker is gone, or has given it up. The stream fails with the error if that is its own fault,
        or if nobody else takes it in time."""
        if (placement := self._now.pop(name, None)) is not None:
            self._link.release(placement.address, name)
        lane = next(lane for lane in self._session.lanes if lane.name == name)
        if self._session.can_move(name, error):
            telemetry.streams_moved.labels(error.code).inc()
            self._start(lane, error)

    def leave(self, name: str, error: GatewayError) -> bool:
        """Its worker does no more, or will not for long. False when nobody else has room."""
        lane = next(lane for lane in self._session.lanes if lane.name == name)
        placement = self._now.get(name)
        if placement is None or lane.ended or self._session.state is State.CLOSED:
            return False
        if not self._link.pool.has_room(self._wish.options, frozenset([placement.address])):
            return False
        self._give_back(lane)
        telemetry.streams_moved.labels("leaving").inc()
        self._start(lane, error, frozenset([placement.address]))
        return True

    def look(self) -> None:
        """To be called when a worker has said something."""
        if self._moves and not any(lane.catching_up for lane in self._session.lanes):
            self._caught_up.set()

    def _start(self, lane: Lane, error: GatewayError, without: frozenset[str] = frozenset()) -> None:
        move = asyncio.create_task(self._move(lane, error, without), name="move a lane")
        self._moves.add(move)
        move.add_done_callback(self._moves.discard)

    async def _move(self, lane: Lane, error: GatewayError, without: frozenset[str]) -> None:
        began = time.monotonic()
        async with self._link.moves:
            async with self._moving:
                if lane.name in self._now or not await self._find_room(lane, error, without):
                    return
                self._caught_up.clear()
            self.send_due()
            self.look()
            with suppress(TimeoutError):
                async with asyncio.timeout(CATCH_UP_S):
                    await self._caught_up.wait()
            telemetry.move_seconds.observe(time.monotonic() - began)

    async def _find_room(self, lane: Lane, error: GatewayError, without: frozenset[str]) -> bool:
        began = time.monotonic()
        while not lane.ended and self._session.state is not State.CLOSED:
            try:
                await self._reopen(lane, without)
            except (Unavailable, UnknownModel) as refused:
                if time.monotonic() - began >= self._within_s:
                    log.warning("stream %s: nobody takes it (%s)", lane.name, refused.code)
                    self._fail(error)
                    return False
                without = frozenset()
                await asyncio.sleep(random.uniform(*LOOK_AGAIN_S))
            else:
                return True
        return False

    async def _reopen(self, lane: Lane, without: frozenset[str] = frozenset()) -> None:
        start, epoch = lane.replay_from, lane.epoch + 1
        # Each attempt takes an epoch of its own, also one that fails.
        lane.epoch += OPEN_ATTEMPTS
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
        self._take(lane, placement)
        lane.go_on(placement.epoch, start, placement.opened.chunk)
        telemetry.replayed_seconds.inc((lane.sent - start) / SAMPLE_RATE)

    def _take(self, lane: Lane, placement: Placement) -> None:
        self._now[lane.name], self._last[lane.name] = placement, placement.opened

    def _give_back(self, lane: Lane) -> None:
        if (placement := self._now.pop(lane.name, None)) is not None:
            self._link.give_back(placement, lane.processed)
