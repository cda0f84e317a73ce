from __future__ import annotations

import asyncio

import psycopg
import pytest
from django.db import OperationalError

from faults.breaker import Breaker
from gateway.control import ControlDatabase
from gateway.errors import ControlDatabaseUnreachable


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def away() -> None:
    try:
        raise psycopg.OperationalError("connection refused at 10.0.0.1")
    except psycopg.OperationalError as error:
        raise OperationalError("connection refused at 10.0.0.1") from error


async def test_while_nothing_answers_nobody_asks_until_one_who_may_hears_it_again() -> None:
    database, asked = ControlDatabase(900, clock=Clock()), []

    def fail() -> None:
        asked.append("asked")
        away()

    for _ in range(3):
        with pytest.raises(OperationalError):
            await database.ask(fail)
    assert database.away
    for _ in range(20):
        with pytest.raises(ControlDatabaseUnreachable):
            await database.ask(fail)
    assert len(asked) == 3
    with database.noting():  # whoever pulls changes
        pass
    assert await database.ask(lambda: "hello") == "hello"


async def test_that_it_refuses_is_an_answer() -> None:
    database = ControlDatabase(900, clock=Clock())

    def refuse() -> None:
        raise psycopg.errors.UndefinedTable("not migrated")

    for _ in range(10):
        with pytest.raises(psycopg.errors.UndefinedTable):
            await database.ask(refuse)
    assert not database.away


async def test_one_that_hangs_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.control.ANSWER_WITHIN_S", 0.01)
    database = ControlDatabase(900, breaker=Breaker(opens_after=1))
    done = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hang() -> None:
        asyncio.run_coroutine_threadsafe(done.wait(), loop).result(30)

    try:
        with pytest.raises(TimeoutError):
            await database.ask(hang)
        assert database.away
    finally:
        done.set()


def test_the_grace_is_counted_from_the_last_news() -> None:
    clock = Clock()
    database = ControlDatabase(900, clock=clock)
    assert (database.silent_s, database.grace_left_s) == (None, 0.0)
    database.current_at = 100.0
    clock.now = 101.0
    assert (database.silent_s, database.grace_left_s) == (1.0, 899.0)
    clock.now = 2000.0
    assert database.grace_left_s == 0.0
