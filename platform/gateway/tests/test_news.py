"""Pulling changes of keys, with a database by hand that can go away, and one real one that forgets."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.auth import KeyCache
from gateway.control import ControlDatabase
from gateway.errors import GatewayError
from gateway.news import News
from gateway.streams import Streams
from gateway.tests.doors import HandStream, grant
from tenants import keytext
from tenants.access import KeyGrant
from tenants.selectors import Changes

LONG_AGO = datetime.now(UTC) - timedelta(seconds=1)


class Ended(HandStream):
    def fail(self, error: GatewayError) -> None:
        self.failure = self.failure or error


class Database:
    """Its keys, and what it tells of their changes: each once, as one that forgets them after a day."""

    def __init__(self, *grants: KeyGrant) -> None:
        self.grants = {one.prefix: one for one in grants}
        self.moment, self.away = 100, False
        self.asked_since: list[int | None] = []
        self.read: list[int] = []
        self._told: list[tuple[int, str]] = []

    def change(self, prefix: str, *, told: bool = True, **changes: object) -> None:
        self.grants[prefix] = replace(self.grants[prefix], **changes)  # type: ignore[arg-type]
        self.moment += 1
        if told:
            self._told.append((self.moment, prefix))

    async def changes(self, moment: int | None) -> Changes:
        self.asked_since.append(moment)
        if self.away:
            raise ConnectionRefusedError
        new = () if moment is None else tuple(self.grants[p] for at, p in self._told if at > moment)
        return Changes(new, self.moment)

    async def find(self, prefixes: Sequence[str]) -> list[KeyGrant]:
        self.read.append(len(prefixes))
        return [self.grants[prefix] for prefix in prefixes if prefix in self.grants]


class House:
    def __init__(self, *grants: KeyGrant) -> None:
        self.now = 0.0
        self.database = Database(*grants)
        self.link = ControlDatabase(900, clock=lambda: self.now)
        self.keys = KeyCache(self._find_one, keep_s=5, clock=lambda: self.now)
        self.streams = Streams()
        self.news = News(
            self.link, self.keys, self.streams,
            changes=self.database.changes, grants=self.database.find, clock=lambda: self.now,
        )  # fmt: skip

    async def _find_one(self, prefix: str) -> KeyGrant | None:
        return self.database.grants.get(prefix)

    async def knows(self, *prefixes: str) -> None:
        for prefix in prefixes:
            await self.keys.get(prefix)

    async def fails_to_pull(self) -> None:
        self.database.away = True
        with pytest.raises(ConnectionRefusedError):
            await self.news.pull()
        self.database.away = False


def key() -> KeyGrant:
    prefix, secret = keytext.generate()
    return grant(prefix=prefix, sha256=keytext.digest(secret))


async def test_it_asks_each_time_with_the_moment_of_the_last_answer() -> None:
    one = key()
    house = House(one)
    await house.knows(one.prefix)
    await house.news.pull()
    house.database.change(one.prefix, revoked_at=LONG_AGO)
    await house.news.pull()
    assert house.database.asked_since == [None, 100]
    assert house.keys.known(one.prefix).revoked_at == LONG_AGO  # type: ignore[union-attr]


async def test_what_was_looked_up_before_the_first_news_is_read_again() -> None:
    one = key()
    house = House(one)
    await house.knows(one.prefix)
    house.database.change(one.prefix, revoked_at=LONG_AGO)  # before anybody knew where to begin
    await house.news.pull()
    assert house.keys.remembered(one.prefix).revoked_at == LONG_AGO  # type: ignore[union-attr]


@pytest.mark.parametrize("told", [True, False])
async def test_after_a_silence_a_revocation_of_meanwhile_counts_told_or_not(told: bool) -> None:
    """Not told: it was longer ago than a day, or the server is another one."""
    one, two = key(), key()
    house = House(one, two)
    await house.knows(one.prefix, two.prefix)
    await house.news.pull()
    stream, other = Ended(one), Ended(two)
    house.streams.add(stream)  # type: ignore[arg-type]
    house.streams.add(other)  # type: ignore[arg-type]
    house.database.change(one.prefix, told=told, revoked_at=LONG_AGO)
    await house.fails_to_pull()
    assert stream.failure is None
    await house.news.pull()
    assert house.keys.remembered(one.prefix).revoked_at == LONG_AGO  # type: ignore[union-attr]
    assert stream.failure is not None
    assert stream.failure.code == "key_revoked"
    assert other.failure is None


async def test_a_server_whose_numbers_begin_anew_is_read_as_after_a_silence() -> None:
    one = key()
    house = House(one)
    await house.knows(one.prefix)
    await house.news.pull()
    house.database.change(one.prefix, told=False, revoked_at=LONG_AGO)
    house.database.moment = 7
    await house.news.pull()
    assert house.keys.remembered(one.prefix).revoked_at == LONG_AGO  # type: ignore[union-attr]
    await house.news.pull()
    assert house.database.asked_since[-1] == 7


async def test_a_key_that_was_deleted_meanwhile_ends_its_streams() -> None:
    one = key()
    house = House(one)
    await house.knows(one.prefix)
    await house.news.pull()
    stream = Ended(one)
    house.streams.add(stream)  # type: ignore[arg-type]
    del house.database.grants[one.prefix]
    await house.fails_to_pull()
    await house.news.pull()
    assert house.keys.remembered(one.prefix) is None
    assert stream.failure is not None
    assert stream.failure.code == "key_revoked"


async def test_a_key_that_was_unknown_before_the_silence_is_looked_up_after_it() -> None:
    one = key()
    house = House()
    await house.news.pull()
    assert await house.keys.get(one.prefix) is None
    await house.fails_to_pull()
    house.database.grants[one.prefix] = one
    await house.news.pull()
    assert await house.keys.get(one.prefix) == one


async def test_many_are_read_again_in_pieces_those_of_streams_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.news.AT_A_TIME", 10)
    many = [key() for _ in range(35)]
    house = House(*many)
    await house.knows(*(one.prefix for one in many))
    for one in many[:3]:
        house.streams.add(Ended(one))  # type: ignore[arg-type]
    await house.news.pull()
    assert house.database.read == [3, 10, 10, 10, 2]
    await house.news.pull()
    assert len(house.database.read) == 5  # nothing is amiss any more


async def test_the_news_are_as_old_as_the_question() -> None:
    house = House(key())
    assert house.link.silent_s is None
    house.now = 50.0
    await house.news.pull()
    house.now = 51.0
    await house.fails_to_pull()
    house.now = 60.0
    assert house.link.silent_s == 10.0


async def test_it_goes_on_for_ever_and_closes_the_breaker_when_the_database_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.news.PULL_EVERY_S", 0.001)
    house = House(key())
    house.link.breaker.first_pause_s = 0.0
    opened, closed = asyncio.Event(), asyncio.Event()

    def look() -> None:
        if house.link.away:
            opened.set()
            house.database.away = False
        elif opened.is_set():
            closed.set()

    house.database.away = True
    task = asyncio.create_task(house.news.pull_forever(look))
    async with asyncio.timeout(30):
        await closed.wait()
    assert house.link.silent_s == 0
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
