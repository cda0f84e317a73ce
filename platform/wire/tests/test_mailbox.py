"""The mailbox over a real Valkey."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from channels_redis.pubsub import RedisPubSubChannelLayer

from wire.codec import WireError, encode_envelope
from wire.mailbox import BoundedQueue, Mailbox
from wire.messages import Envelope


@pytest.fixture
def layer(valkey_server: str) -> Any:
    return RedisPubSubChannelLayer(hosts=[valkey_server], prefix="steno")


def nothing() -> None: ...


def test_the_queue_drops_instead_of_growing() -> None:
    dropped = []
    queue = BoundedQueue(2, lambda: dropped.append(1))
    for number in range(5):
        queue.put_nowait(bytes([number]))
    assert (queue.qsize(), len(dropped)) == (2, 3)
    assert queue.get_nowait() == b"\x00"


async def test_what_is_posted_arrives(layer: Any) -> None:
    mailbox = await Mailbox.open(layer, "test.", dropped=nothing)
    sent = Envelope(sender="me", seq=1)
    await layer.send(mailbox.address, encode_envelope(sent))
    async with asyncio.timeout(5):
        assert await mailbox.receive() == sent
    await mailbox.close()


async def test_a_full_mailbox_counts_what_it_drops(layer: Any) -> None:
    dropped = asyncio.Event()
    mailbox = await Mailbox.open(layer, "test.", dropped=dropped.set, most=3)
    for number in range(4):
        await layer.send(mailbox.address, encode_envelope(Envelope(sender="me", seq=number + 1)))
    async with asyncio.timeout(5):
        await dropped.wait()
        assert [(await mailbox.receive()).seq for _ in range(3)] == [1, 2, 3]  # type: ignore[union-attr]
    await mailbox.close()


async def test_bytes_that_are_no_message_are_named(layer: Any) -> None:
    mailbox = await Mailbox.open(layer, "test.", dropped=nothing)
    mailbox._layer._get_layer().channels[mailbox.address].put_nowait(b"\xc1")
    with pytest.raises(WireError):
        await mailbox.receive()
    await mailbox.close()
