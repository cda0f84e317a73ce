from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from stenogate import feed
from stenogate.errors import InputError
from stenogate.feed import MAX_PACKET_BYTES, Feed, Layout

LAYOUT = Layout(rate=8_000)
SECOND = bytes(LAYOUT.size(1000))


@pytest.mark.parametrize(("rate", "frame_bytes"), [(8_000, 1), (16_000, 2), (44_100, 4), (48_000, 8)])
def test_places_and_times(rate: int, frame_bytes: int) -> None:
    layout = Layout(rate, frame_bytes)
    for ms in (0, 1, 333, 7_777, 3_600_000):
        assert layout.size(ms) % frame_bytes == 0
        assert 0 <= ms - layout.ms(layout.size(ms)) <= 1
    # As the server counts: what is left after any place is not a millisecond more or less.
    whole = layout.size(10_000)
    for ms in (1, 333, 7_777):
        assert ms + layout.ms(whole - layout.size(ms)) == 10_000


async def source(*packets: bytes, taken: list[int]) -> AsyncIterator[bytes]:
    for number, packet in enumerate(packets):
        taken.append(number)
        yield packet


@pytest.mark.parametrize(("live", "ahead_s"), [(True, feed.AHEAD_S), (False, feed.AHEAD_OF_A_FILE_S)])
async def test_no_more_is_read_than_may_wait(live: bool, ahead_s: int) -> None:
    mine, taken = Feed(LAYOUT, live=live), list[int]()
    filling = asyncio.create_task(mine.fill(source(*[SECOND] * 500, taken=taken), asyncio.Event()))
    for _ in range(2000):
        await asyncio.sleep(0)
    assert len(taken) == ahead_s
    mine.note_sent(len(SECOND))
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(taken) == ahead_s + 1
    # All that is sent is forgotten at some time; what is not, never.
    for at in range(0, 501 * len(SECOND), len(SECOND)):
        mine.note_sent(at)
        for _ in range(4):
            await asyncio.sleep(0)
        assert mine.end - mine.start <= LAYOUT.size(1000 * (feed.KEPT_S + ahead_s))
        assert mine.start <= mine.sent
    await filling
    assert mine.complete
    assert mine.end == 500 * len(SECOND)


async def test_what_comes_in_one_piece_is_kept_until_it_is_sent_however_long_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feed, "KEPT_S", 2)
    mine, whole = Feed(LAYOUT, live=False), random.Random(1).randbytes(20 * len(SECOND))
    mine._append(whole)
    sent = b""
    while packet := await mine.packet(len(sent), 0.001):
        sent += packet
        mine.note_sent(len(sent))
    assert sent == whole
    mine._append(SECOND)
    assert mine.end - mine.start <= LAYOUT.size(1000 * (2 + feed.AHEAD_OF_A_FILE_S))


async def test_packets_are_what_there_is_from_a_place_on() -> None:
    mine = Feed(LAYOUT, live=True)
    mine._append(b"abcd")
    assert await mine.packet(0, 1) == b"abcd"
    assert await mine.packet(2, 1) == b"cd"
    assert await mine.packet(4, 0.001) == b""
    waiting = asyncio.create_task(mine.packet(4, 10))
    await asyncio.sleep(0)
    mine._append(b"ef")
    assert await waiting == b"ef"
    waiting = asyncio.create_task(mine.packet(6, 10))
    await asyncio.sleep(0)
    await mine.fill(source(taken=[]), asyncio.Event())
    assert await waiting is None
    assert await mine.packet(6, 1) is None
    mine._append(bytes(2 * MAX_PACKET_BYTES))
    assert len(await mine.packet(0, 1) or b"") == MAX_PACKET_BYTES


async def test_a_source_is_left_when_it_is_told_to_stop() -> None:
    stop = asyncio.Event()

    async def silent() -> AsyncIterator[bytes]:
        yield b"ab"
        stop.set()
        await asyncio.Event().wait()

    mine = Feed(LAYOUT, live=True)
    await asyncio.wait_for(mine.fill(silent(), stop), 10)
    assert (mine.complete, mine.end) == (True, 2)


async def test_a_source_that_breaks_off_is_remembered_and_one_that_fails_is_told() -> None:
    async def broken(error: Exception) -> AsyncIterator[bytes]:
        yield b"ab"
        raise error

    mine = Feed(LAYOUT, live=True)
    await mine.fill(broken(InputError("cut off")), asyncio.Event())
    assert (mine.complete, str(mine.error)) == (True, "cut off")
    mine = Feed(LAYOUT, live=True)
    with pytest.raises(ZeroDivisionError):
        await mine.fill(broken(ZeroDivisionError()), asyncio.Event())
    assert mine.complete
