from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.door import Holder, OpenDoor
from gateway.errors import AccessRefused, GatewayDraining, Unavailable
from gateway.recorded.guest import Guest
from gateway.streams import Streams
from gateway.tests.doors import grant

GRANT = grant()


class Door(OpenDoor):
    """Knows who is in."""

    def __init__(self) -> None:
        self.inside: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def enter(self, stream: Holder, counted_ms: int = 0) -> None:
        await self.gate.wait()
        self.inside.append(stream.id)

    def leave(self, stream: Holder, *, opened: bool = True) -> None:
        assert not opened  # an upload is no stream that was opened
        if stream.id in self.inside:
            self.inside.remove(stream.id)


REVOKED = replace(GRANT, revoked_at=datetime(2020, 1, 1, tzinfo=UTC))


@pytest.fixture
def house() -> Any:
    return SimpleNamespace(streams=Streams(), admit=lambda: None, admission=Door())


async def upload_for_ever(house: Any, inside: asyncio.Event) -> None:
    async with Guest(house, GRANT, "r-1"):
        inside.set()
        await asyncio.Event().wait()


async def test_a_key_revoked_during_an_upload_ends_it(house: Any) -> None:
    inside = asyncio.Event()
    task = asyncio.create_task(upload_for_ever(house, inside))
    await inside.wait()
    house.streams.apply([REVOKED], datetime.now(UTC))
    with pytest.raises(AccessRefused) as raised:
        await task
    assert raised.value.code == "key_revoked"
    assert len(house.streams) == 0
    assert not task.cancelled()
    assert house.admission.inside == []


async def test_a_stop_is_not_held_up_by_uploads(house: Any) -> None:
    inside = asyncio.Event()
    task = asyncio.create_task(upload_for_ever(house, inside))
    await inside.wait()
    house.streams.fail_all(GatewayDraining())
    assert await house.streams.all_gone(5)
    with pytest.raises(GatewayDraining):
        await task


async def test_a_cancellation_from_elsewhere_stays_one(house: Any) -> None:
    inside = asyncio.Event()
    task = asyncio.create_task(upload_for_ever(house, inside))
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(house.streams) == 0


async def test_a_full_house_lets_nobody_in(house: Any) -> None:
    def refuse() -> None:
        raise Unavailable()

    house.admit = refuse
    with pytest.raises(Unavailable):
        async with Guest(house, GRANT, "r-1"):
            pass
    assert len(house.streams) == 0


async def test_a_key_revoked_before_there_was_a_place(house: Any) -> None:
    house.admission.gate.clear()
    task = asyncio.create_task(upload_for_ever(house, asyncio.Event()))
    await asyncio.sleep(0)
    house.streams.apply([REVOKED], datetime.now(UTC))
    with pytest.raises(AccessRefused):
        await task
    assert len(house.streams) == 0


async def test_who_is_put_on_hold_while_he_uploads_is_told_so(house: Any) -> None:
    uploading = asyncio.Event()
    task = asyncio.create_task(upload_for_ever(house, uploading))
    await uploading.wait()
    house.streams.apply([replace(GRANT, hold="prepaid")], datetime.now(UTC))
    house.streams.apply([], datetime.now(UTC))
    with pytest.raises(AccessRefused) as refused:
        await task
    assert (refused.value.code, refused.value.status) == ("prepaid_used_up", 402)
    assert len(house.streams) == 0


async def test_the_stream_that_it_becomes_keeps_the_place(house: Any) -> None:
    async with Guest(house, GRANT, "r-1") as guest:
        assert house.admission.inside == ["r-1"]
        guest.become()
        guest.fail(GatewayDraining())  # the stream is told, not the guest
    assert house.admission.inside == ["r-1"]
    assert len(house.streams) == 0
