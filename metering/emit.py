"""From the gateway to Celery: usage events and entries of the request log wait here, within a bound, until
the broker has taken them.

The event loop never waits for the broker. While it is down, records are kept and tried again; past
`MAX_WAITING` the gateway takes no new streams (`full`), and the records of open ones are still kept until
`HARD_LIMIT`, where the loss is counted and logged by id.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice, takewhile
from typing import Any, Protocol

from faults.pauses import pause_s
from metering import tasks

log = logging.getLogger(__name__)

MAX_WAITING = 50_000
HARD_LIMIT = 100_000
BATCH = 500
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0


class Record(Protocol):
    """A usage event, an entry of the request log, or whatever else a task of Celery takes."""

    @property
    def task(self) -> str: ...

    def as_dict(self) -> dict[str, Any]: ...


# The name of the task, and what it is to store.
Send = Callable[[str, list[dict[str, Any]]], None]


def send_to_celery(task: str, records: list[dict[str, Any]], batch: str = "") -> None:
    # One try: the emitter has its own patience, and must not lose its thread to Celery's.
    tasks.BY_NAME[task].apply_async((records, batch), retry=False, ignore_result=True)


class Emitter:
    broken = False  # the disk of a spool takes nothing
    spooled_bytes = 0

    def __init__(
        self,
        send: Send = send_to_celery,
        on_lost: Callable[[], None] = lambda: None,
        *,
        limit: int | None = None,
    ) -> None:
        """`limit` is how much is kept at most, for what is not usage; half of it is `full`."""
        self.dropped = 0
        self._limit = limit
        self._send = send
        self._on_lost = on_lost
        self._waiting: deque[Record] = deque()
        self._arrived = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._send_forever(), name="emitter")

    async def stop(self, within_s: float) -> int:
        """Hand over what is left. Returns how many records could not be handed over in time."""
        try:
            await asyncio.wait_for(self._empty.wait(), within_s)
        except TimeoutError:
            log.error("emitter: stopped with %d records not handed over", len(self._waiting))
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        return len(self._waiting)

    def emit(self, records: Sequence[Record]) -> None:
        for record in records:
            if len(self._waiting) >= (self._limit or HARD_LIMIT):
                self._lose(record)
            else:
                self._waiting.append(record)
        if self._waiting:
            self._empty.clear()
            self._arrived.set()

    def _lose(self, record: Record) -> None:
        self.dropped += 1
        self._on_lost()
        log.error("emitter: full, lost %s", record)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def full(self) -> bool:
        return len(self._waiting) >= (self._limit // 2 if self._limit else MAX_WAITING)

    def _next_batch(self) -> list[Record]:
        """What comes first, as far as one task can store it."""
        task = self._waiting[0].task
        return list(islice(takewhile(lambda record: record.task == task, self._waiting), BATCH))

    async def _send_forever(self) -> None:
        tries = 0
        while True:
            await self._arrived.wait()
            batch = self._next_batch()
            try:
                await asyncio.to_thread(self._send, batch[0].task, [record.as_dict() for record in batch])
            except Exception as error:
                # Sent or not, nobody knows; sending again is safe because the ids are the same.
                log.warning("emitter: broker: %s; %d waiting", type(error).__name__, len(self._waiting))
                tries += 1
                await asyncio.sleep(pause_s(tries, first_s=FIRST_PAUSE_S, longest_s=LONGEST_PAUSE_S))
                continue
            tries = 0
            for _ in batch:
                self._waiting.popleft()
            if not self._waiting:
                self._arrived.clear()
                self._empty.set()
