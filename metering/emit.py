"""From the gateway to Celery: usage events wait here, within a bound, until the broker has taken them.

The event loop never waits for the broker. While it is down, events are kept and tried again; past
`MAX_WAITING` the gateway takes no new streams (`full`), and the events of open ones are still kept until
`HARD_LIMIT`, where the loss is counted and logged by id.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from metering.events import UsageEvent
from metering.tasks import record_usage

log = logging.getLogger(__name__)

MAX_WAITING = 50_000
HARD_LIMIT = 100_000
BATCH = 100
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0

Send = Callable[[list[dict[str, Any]]], None]


def send_to_celery(events: list[dict[str, Any]]) -> None:
    # One try: the emitter has its own patience, and must not lose its thread to Celery's.
    record_usage.apply_async((events,), retry=False, ignore_result=True)


class UsageEmitter:
    def __init__(self, send: Send = send_to_celery, on_lost: Callable[[], None] = lambda: None) -> None:
        self.dropped = 0
        self._send = send
        self._on_lost = on_lost
        self._waiting: deque[UsageEvent] = deque()
        self._arrived = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._send_forever(), name="usage emitter")

    async def stop(self, within_s: float) -> int:
        """Hand over what is left. Returns how many events could not be handed over in time."""
        try:
            await asyncio.wait_for(self._empty.wait(), within_s)
        except TimeoutError:
            log.error("usage emitter: stopped with %d events not handed over", len(self._waiting))
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        return len(self._waiting)

    def emit(self, events: Sequence[UsageEvent]) -> None:
        for event in events:
            if len(self._waiting) >= HARD_LIMIT:
                self.dropped += 1
                self._on_lost()
                log.error("usage emitter: full, lost %s to %d ms", event.event_id, event.to_ms)
            else:
                self._waiting.append(event)
        if self._waiting:
            self._empty.clear()
            self._arrived.set()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def full(self) -> bool:
        return len(self._waiting) >= MAX_WAITING

    async def _send_forever(self) -> None:
        pause = FIRST_PAUSE_S
        while True:
            await self._arrived.wait()
            batch = [self._waiting[i] for i in range(min(BATCH, len(self._waiting)))]
            try:
                await asyncio.to_thread(self._send, [event.as_dict() for event in batch])
            except Exception as error:
                # Sent or not, nobody knows; sending again is safe because the ids are the same.
                log.warning("usage emitter: broker: %s; %d waiting", type(error).__name__, len(self._waiting))
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_S)
                continue
            pause = FIRST_PAUSE_S
            for _ in batch:
                self._waiting.popleft()
            if not self._waiting:
                self._arrived.clear()
                self._empty.set()
