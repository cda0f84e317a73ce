"""A link that is a hand, and where the lanes of a stream are on it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from gateway.errors import GatewayError, WorkerLost
from gateway.lane import Lane
from gateway.placements import Owner, Placement
from gateway.places import Places, Wish
from gateway.session import Features, Session
from gateway.tests.driving import LIMITS
from wire.messages import Abort, Flush, Flushed, Item, Opened, Progress, StreamOptions, ToWorker

DEADLINE_S = 5.0
SECOND = b"\x01\x00" * 16_000
OWNER = Owner("tenant", "project", "key")
WISH = Wish(OWNER, StreamOptions())


@dataclass
class Request:
    stream: str
    epoch: int
    start: int
    replay_until: int
    options: StreamOptions
    without: frozenset[str]


class HandPool:
    room = True

    def has_room(self, options: StreamOptions, without: frozenset[str] = frozenset()) -> bool:
        return self.room


@dataclass
class HandLink:
    """Takes every stream on the next worker, unless `refusal` is set, and not before `gate` is open."""

    moves: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))
    pool: HandPool = field(default_factory=HandPool)
    refusal: GatewayError | None = None
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    answers_flushes: bool = False
    asked: list[Request] = field(default_factory=list)
    sent: list[ToWorker] = field(default_factory=list)
    sent_to: dict[str, list[ToWorker]] = field(default_factory=lambda: defaultdict(list))
    open_now: set[tuple[str, str]] = field(default_factory=set)  # where, and which stream
    receiver: Any = None
    waiting: int = 0
    workers: int = 0

    def __post_init__(self) -> None:
        self.gate.set()

    async def open(
        self,
        stream: str,
        owner: Owner,
        options: StreamOptions,
        receiver: Any,
        epoch: int = 1,
        start: int = 0,
        replay_until: int = 0,
        without: frozenset[str] = frozenset(),
    ) -> Placement:
        self.asked.append(Request(stream, epoch, start, replay_until, options, without))
        self.receiver = receiver
        self.waiting += 1
        try:
            await self.gate.wait()
        finally:
            self.waiting -= 1
        if self.refusal is not None:
            raise self.refusal
        self.workers += 1
        name = f"w{self.workers}"
        self.open_now.add((name, stream))
        opened = Opened(stream=stream, epoch=epoch, worker=name, model="m", version="1", arch="a", chunk=1600)
        return Placement(stream, epoch, name, opened)

    def send(self, address: str, items: Iterable[ToWorker]) -> None:
        for item in items:
            self.sent.append(item)
            self.sent_to[address].append(item)
            if self.answers_flushes and isinstance(item, Flush):
                answer = Flushed(stream=item.stream, epoch=item.epoch, token=item.token)
                self.receiver.receive_from_worker(answer)

    def release(self, address: str, stream: str, epoch: int) -> None:
        self.open_now.discard((address, stream))

    def give_back(self, placement: Placement, processed: int) -> None:
        abort = Abort(stream=placement.stream, epoch=placement.epoch, processed=processed)
        self.send(placement.address, [abort])
        self.release(placement.address, placement.stream, placement.epoch)

    def to(self, address: str, of: type[Item] = Item) -> list[Any]:
        return [item for item in self.sent_to[address] if isinstance(item, of)]


@dataclass
class Talk:
    link: HandLink
    session: Session
    places: Places
    failures: list[GatewayError]

    @property
    def lane(self) -> Lane:
        return self.session.lanes[0]

    @property
    def now(self) -> dict[str, str]:
        return {name: placement.address for name, placement in self.places._now.items()}

    def hears(self, seconds: int) -> None:
        samples = [SECOND * seconds for _ in self.session.lanes]
        self.session.receive_audio(samples, self.lane.input_ms + 1000 * seconds)
        self.places.send_due()

    def processes(self, seconds: float, lane: int = 0) -> None:
        """The worker that it has now."""
        one = self.session.lanes[lane]
        samples = int(seconds * 16_000)
        self.session.receive_from_worker(
            Progress(stream=one.name, epoch=one.epoch, processed=samples, confirmed=samples)
        )
        self.places.look()

    def loses(self, lane: int = 0, error: GatewayError | None = None) -> None:
        self.places.lost(self.session.lanes[lane].name, error or WorkerLost())


async def talk(link: HandLink, lanes: int = 1, within_s: float = 0.0) -> Talk:
    session = Session(
        lanes=tuple(Lane(f"s.{number}", number) for number in range(lanes)),
        limits=LIMITS,
        features=Features(),
        now=0.0,
    )
    failures: list[GatewayError] = []

    def fail(error: GatewayError) -> None:
        failures.append(error)
        session.fail(error)

    places = Places(link, session, object(), fail, within_s)  # type: ignore[arg-type]
    for lane in session.lanes:
        await places.open(lane, WISH)
    return Talk(link, session, places, failures)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not true():  # noqa: ASYNC110 - many small conditions
            await asyncio.sleep(0)


async def idle(turns: int = 20) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)
