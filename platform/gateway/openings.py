"""New streams are let in at the rate at which the workers can take them. A thin shell around `gateway.ramp`.

A handshake that may not open its stream yet waits for its turn, for a bounded time, as one of a bounded
number. Whoever would wait longer is told at once when to come back, each at another moment.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from gateway import telemetry
from gateway.door import Overloaded
from gateway.errors import GatewayDraining, TooManyOpenings, TooManyStreams, Unavailable
from gateway.ramp import Appointments
from gateway.workers import Pool
from wire.messages import StreamOptions

# Of whom nobody knows when a place will be free: so far apart do those come who are refused at one moment.
APART_S = 15.0
UNKNOWN_RATE = 10.0


@dataclass
class Openings:
    pool: Pool = field(default_factory=Pool)
    wait_at_most_s: float = 3.0
    max_handshakes: int = 500
    clock: Callable[[], float] = time.monotonic
    random: random.Random = field(default_factory=random.Random)
    handshakes: int = 0
    # By what they ask for, as nobody waits behind those who wait for another model.
    _waiting: Counter[tuple[str, str]] = field(default_factory=Counter)
    _appointments: Appointments = field(default_factory=Appointments)

    @contextmanager
    def handshake(self) -> Iterator[None]:
        """All of a handshake, so that no more of them are in hand than this process can hold. A refusal for
        want of room, here or within, has its own time to come back at."""
        if self.handshakes >= self.max_handshakes:
            raise Overloaded(retry_after_s=self._come_back_s())
        self.handshakes += 1
        telemetry.handshakes.set(self.handshakes)
        try:
            yield
        except GatewayDraining:
            raise  # others are there to come to at once
        except Unavailable as error:
            error.retry_after_s = max(error.retry_after_s or 0.0, self._come_back_s())
            raise
        except (TooManyStreams, TooManyOpenings) as error:
            error.retry_after_s = (error.retry_after_s or 0.0) + self.random.uniform(0, APART_S)
            raise
        finally:
            self.handshakes -= 1
            telemetry.handshakes.set(self.handshakes)

    async def turn(self, options: StreamOptions, lanes: int = 1) -> None:
        """Wait for the turn of a live stream of so many lanes, or raise `Overloaded`. Whether there is room
        for it is not asked here."""
        kind = (options.model, options.language)
        wait_s = self.pool.wait_s(options, self._waiting[kind] + lanes)
        if wait_s > self.wait_at_most_s:
            raise Overloaded()
        if wait_s == 0:
            return
        self._waiting[kind] += lanes
        try:
            await asyncio.sleep(wait_s)
        finally:
            self._waiting[kind] -= lanes
            if not self._waiting[kind]:
                del self._waiting[kind]
        if math.isinf(self.pool.wait_s(options, 0)):
            raise Overloaded()  # meanwhile

    def _come_back_s(self) -> float:
        return self._appointments.next_s(self.clock(), self.pool.opening_rate() or UNKNOWN_RATE)
