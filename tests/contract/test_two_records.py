"""What the gateway bills and what the worker writes down are the same, to the millisecond: for rates that do
not divide, for every way in which a stream ends, for streams that move and streams of many channels."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway.audio.base import AudioFormat, Decoder
from gateway.audio.decoders import decoder
from gateway.errors import ClientTooSlow, EngineFailed
from gateway.events import CloseStream, UsageRange
from gateway.lane import Lane
from gateway.session import Features, Limits, Session, State
from inference_worker.log_lines import Record
from inference_worker.recording import Recorder
from inference_worker.tests.house import DEADLINE_S, House, house
from inference_worker.tests.logs import KEY, PROJECT, TENANT, Kept, counted, written
from wire.messages import Abort, Ended, Failed, Open, StreamOptions, ToGateway

LIMITS = Limits(idle_s=1000, max_s=3600, window_s=60, usage_every_s=0.2)
RATES = (8_000, 11_025, 16_000, 22_050, 44_100, 48_000)


@dataclass
class Call:
    """A session and the worker it is on, without what carries their words."""

    house: House
    channels: int = 1
    usage: list[UsageRange] = field(default_factory=list)
    heard: dict[str, int] = field(default_factory=dict)  # items of the worker that have arrived
    deaf: bool = False  # the worker's words are on their way
    of_the_dead: list[Record] = field(default_factory=list)  # what is on the disks of workers before

    def __post_init__(self) -> None:
        names = ["s"] if self.channels == 1 else [f"s.{channel}" for channel in range(self.channels)]
        self.session = Session(
            lanes=tuple(Lane(name, channel) for channel, name in enumerate(names)),
            limits=LIMITS,
            features=Features(),
            now=0.0,
        )
        self._earlier_ms = 0
        self.place()

    def listens(self, rate: int) -> None:
        self.decoder: Decoder = decoder(AudioFormat("linear16", rate, self.channels, self.channels))

    def place(self, starts: Mapping[str, int] | None = None) -> None:
        for lane in self.session.lanes:
            self.house.say(
                Open(
                    stream=lane.name, epoch=lane.epoch, tenant=TENANT, project=PROJECT, key=KEY,
                    start=lane.sent if starts is None else starts[lane.name], options=StreamOptions(),
                )
            )  # fmt: skip

    def hears(self, frames: int) -> None:
        data = b"\x01\x00" * frames * self.channels
        for pcm in self.decoder.feed(data):
            self.session.receive_audio(pcm, self._earlier_ms + self.decoder.input_ms)
        self.carry()

    def finishes(self) -> None:
        for pcm in self.decoder.finish():
            self.session.receive_audio(pcm, self._earlier_ms + self.decoder.input_ms)

    def changes(self, rate: int) -> None:
        """As `Configure` with another format does."""
        self.finishes()
        self._earlier_ms += self.decoder.input_ms
        self.listens(rate)

    def moves(self) -> None:
        """As `Configure` with another model does."""
        self.session.bill()
        for lane in self.session.lanes:
            self.house.say(Abort(stream=lane.name, epoch=lane.epoch, processed=lane.processed))
            lane.start_over()
            lane.go_on(lane.epoch + 1, lane.sent, self.house.worker.info.chunk_samples)
        self.listen()
        self.place()

    def goes_to(self, house: House) -> None:
        """As when the worker that it is on has been lost or left."""
        self.house, self.deaf = house, False
        self.heard.clear()
        starts = {lane.name: lane.pin() for lane in self.session.lanes}
        for lane in self.session.lanes:
            lane.go_on(lane.epoch + 1, starts[lane.name], house.worker.info.chunk_samples)
        self.place(starts)
        self.carry()

    def loses_its_worker(self, folder: Path, house: House) -> None:
        """Killed: its log ends there, and nothing more is heard of it."""
        self.of_the_dead += written(folder)
        self.goes_to(house)

    def leaves_its_worker(self, house: House) -> None:
        """Which drains: it is told how far it was heard of."""
        for lane in self.session.lanes:
            self.house.say(Abort(stream=lane.name, epoch=lane.epoch, processed=lane.processed))
        self.goes_to(house)

    def closes(self) -> None:
        self.finishes()
        self.session.receive(CloseStream(), 0.0)
        self.carry()

    def carry(self) -> None:
        """To the worker what is for it, and back what it has said."""
        for lane in self.session.lanes:
            self.house.say(*lane.items_to_send())
        self.listen()
        self.usage += self.session.usage_to_record()

    def listen(self) -> None:
        said: list[ToGateway] = self.house.sent.get("gateway", [])
        if not self.deaf:
            for item in said[self.heard.get("all", 0) :]:
                if item.epoch == {lane.name: lane.epoch for lane in self.session.lanes}[item.stream]:
                    self.session.receive_from_worker(item)
                    if isinstance(item, Failed):
                        self.session.fail(EngineFailed())
            self.heard["all"] = len(said)

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not true():
                await asyncio.sleep(0.001)
                self.carry()

    async def worked(self) -> None:
        """Until the worker has nothing more that it could do."""
        chunk = self.house.worker.info.chunk_samples
        await self.until(lambda: all(lane.waiting_samples < chunk for lane in self.session.lanes))

    async def flushed(self) -> None:
        """Until the worker has processed all that it was sent."""
        for lane in self.session.lanes:
            lane.flush()
        await self.until(lambda: not any(lane.flushing for lane in self.session.lanes))

    def agree(self, *folders: Path) -> int:
        records = self.of_the_dead + [record for folder in folders for record in written(folder)]
        for lane in self.session.lanes:
            parts = [(part.from_ms, part.to_ms) for part in self.usage if part.lane == lane.name]
            assert [start for start, _ in parts] == [0, *(end for _, end in parts)][: len(parts)]
            assert lane.billed_ms == counted(records, lane.name) <= lane.input_ms
            assert not parts or parts[-1][1] == lane.billed_ms
        assert self.session.billed_ms == counted_of_all(self.session, records)
        return self.session.billed_ms


def counted_of_all(session: Session, records: list) -> int:  # type: ignore[type-arg]
    return sum(counted(records, lane.name) for lane in session.lanes)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    kept = Kept(tmp_path)
    kept.log.begin()
    yield kept
    kept.close()


@asynccontextmanager
async def call(kept: Kept, rate: int, channels: int = 1) -> AsyncIterator[Call]:
    async with house(recorder=Recorder(kept.log, "scripted")) as h:
        made = Call(h, channels)
        made.listens(rate)
        yield made


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("frames", [1, 7, 441, 4_409, 12_345, 44_099])
async def test_a_stream_that_ends(kept: Kept, rate: int, frames: int) -> None:
    async with call(kept, rate) as c:
        c.hears(frames)
        c.closes()
        await c.until(lambda: c.session.state is State.CLOSED)
    assert c.agree(kept.folder) == frames * 1000 // rate


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("closing", [False, True])
async def test_a_client_that_leaves(kept: Kept, rate: int, closing: bool) -> None:
    async with call(kept, rate) as c:
        for frames in (rate // 3 + 1, rate // 7, rate + 11):
            c.hears(frames)
            await c.worked()
        if closing:
            c.deaf = True  # it leaves before it hears the last of it
            c.closes()
            await c.house.until(lambda: c.house.heard(Ended))
        c.session.receive_disconnect()
        c.carry()
        await c.house.until(lambda: not c.house.worker.active)
    assert c.agree(kept.folder) > 1000


async def test_a_stream_that_the_gateway_fails_while_the_worker_has_more(kept: Kept) -> None:
    async with call(kept, 44_100) as c:
        c.hears(44_099)
        await c.worked()
        c.deaf = True
        c.hears(44_099)
        told = c.session.lanes[0].processed
        await c.house.until(lambda: c.house.sent["gateway"][-1].processed > told)  # type: ignore[union-attr]
        c.session.fail(ClientTooSlow())
        c.carry()
        await c.house.until(lambda: not c.house.worker.active)
    assert c.agree(kept.folder) == told // 16


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("closing", [False, True])
async def test_a_stream_that_the_worker_fails(kept: Kept, rate: int, closing: bool) -> None:
    async with call(kept, rate) as c:
        c.hears(rate + 13)
        await c.worked()
        if closing:
            c.deaf = True  # the failure and the end pass each other
            c.finishes()
            c.session.receive(CloseStream(), 0.0)
        c.house.worker.give_up("engine_failed")
        c.deaf = False
        c.carry()
        await c.until(lambda: c.session.state is State.CLOSED)
    assert any(isinstance(item, Failed) for item in c.house.sent["gateway"])
    assert c.agree(kept.folder) > 500


@pytest.mark.parametrize("rates", [(44_100, 11_025), (11_025, 44_100), (16_000, 44_100)])
@pytest.mark.parametrize("leaves", [False, True])
async def test_a_stream_that_changes_its_rate_again_and_again(
    kept: Kept, rates: tuple[int, int], leaves: bool
) -> None:
    async with call(kept, rates[0]) as c:
        for turn in range(12):
            c.hears(rates[turn % 2] // 9 + turn)
            await c.worked()
            c.changes(rates[(turn + 1) % 2])
        c.hears(4_000)
        await c.flushed()
        if leaves:
            c.session.receive_disconnect()
            c.carry()
            await c.house.until(lambda: not c.house.worker.active)
        else:
            c.closes()
            await c.until(lambda: c.session.state is State.CLOSED)
    assert c.agree(kept.folder) > 1000


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("channels", [1, 2, 3])
async def test_a_stream_that_moves_and_one_of_many_channels(kept: Kept, rate: int, channels: int) -> None:
    async with call(kept, rate, channels) as c:
        for frames in (rate // 2 + 3, rate // 3 + 1):
            c.hears(frames)
            await c.flushed()
            c.moves()
        c.hears(rate // 5)
        c.closes()
        await c.until(lambda: c.session.state is State.CLOSED)
    frames = rate // 2 + 3 + rate // 3 + 1 + rate // 5
    assert c.agree(kept.folder) == channels * (frames * 1000 // rate)
    assert {record.of.epoch for record in written(kept.folder)} == {1, 2, 3}


# ---- workers that are lost and left


@pytest.fixture
def others(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Kept]]:
    made = [Kept(tmp_path_factory.mktemp(f"other-{number}")) for number in range(2)]
    for one in made:
        one.log.begin()
    yield made
    for one in made:
        one.close()


def told(c: Call) -> int:
    return sum(lane.processed for lane in c.session.lanes)


async def has_written_more_than_it_has_told(c: Call, frames: int) -> None:
    """As when it is killed between the two."""
    before = len(c.house.sent["gateway"])
    c.deaf = True
    c.hears(frames)
    await c.house.until(
        lambda: any(getattr(item, "processed", 0) for item in c.house.sent["gateway"][before:])
    )


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("untold", [False, True])
async def test_a_stream_whose_workers_are_killed(
    kept: Kept, others: list[Kept], rate: int, channels: int, untold: bool
) -> None:
    async with (
        call(kept, rate, channels) as c,
        house(recorder=Recorder(others[0].log, "scripted")) as second,
        house(recorder=Recorder(others[1].log, "scripted")) as third,
    ):
        frames = 0
        for worker, before in ((second, kept), (third, others[0])):
            c.hears(rate * 3 + 7)
            frames += rate * 3 + 7
            await c.worked()
            if untold:
                await has_written_more_than_it_has_told(c, rate)
                frames += rate
            c.loses_its_worker(before.folder, worker)
        c.closes()
        await c.until(lambda: c.session.state is State.CLOSED)
    assert c.agree(others[1].folder) == channels * (frames * 1000 // rate)
    assert {record.of.epoch for record in c.of_the_dead} == {1, 2}


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
async def test_a_stream_that_leaves_workers_that_live(kept: Kept, others: list[Kept], rate: int) -> None:
    async with (
        call(kept, rate) as c,
        house(recorder=Recorder(others[0].log, "scripted")) as second,
        house(recorder=Recorder(others[1].log, "scripted")) as third,
    ):
        for worker in (second, third):
            c.hears(rate * 2 + 5)
            await c.worked()
            await has_written_more_than_it_has_told(c, rate)
            c.leaves_its_worker(worker)
        c.session.receive_disconnect()  # before the last of them has heard anything
        c.carry()
        await c.house.until(lambda: not any(h.worker.active for h in (second, third)))
    assert c.agree(kept.folder, others[0].folder, others[1].folder) > 1000


async def test_what_a_killed_worker_could_not_tell_is_in_its_log_alone(
    kept: Kept, others: list[Kept]
) -> None:
    """If the client leaves before another has heard it too, reconciling adds it: it has been processed."""
    async with call(kept, 16_000) as c, house(recorder=Recorder(others[0].log, "scripted")) as second:
        c.hears(16_000)
        await c.worked()
        await has_written_more_than_it_has_told(c, 16_000)
        c.loses_its_worker(kept.folder, second)
        c.session.receive_disconnect()
        c.carry()
        await c.house.until(lambda: not second.worker.active)
    logged = counted(c.of_the_dead + written(others[0].folder), "s")
    (billed,) = {lane.billed_ms for lane in c.session.lanes}
    assert 0 < billed < logged <= 2000
