from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from inference_worker.engines.scripted import SENTENCES, ScriptedEngine
from inference_worker.loop import Worker
from inference_worker.scheduler import Wait
from inference_worker.telemetry import Telemetry
from inference_worker.tests.gateways import FakeGateway, gateway, heartbeat_of
from inference_worker.tests.house import end, opening, silence
from inference_worker.transport import Transport
from ops.local import ports, valkey
from wire import tasks
from wire.mailbox import BoundedQueue
from wire.messages import (
    Abort,
    Ended,
    Envelope,
    Failed,
    Opened,
    Progress,
    WorkerState,
)

SAID = " ".join(SENTENCES[:2])


@dataclass
class Running:
    worker: Worker
    transport: Transport
    telemetry: Telemetry
    region: str

    def counted(self, name: str) -> float:
        return sum(
            sample.value
            for metric in self.telemetry.registry.collect()
            for sample in metric.samples
            if sample.name == name
        )


@asynccontextmanager
async def running(url: str, *, silent_s: float = 10.0, max_waiting: int = 2000) -> AsyncIterator[Running]:
    """A worker on the channel layer, in a region of its own."""
    region = f"t{uuid.uuid4().hex[:8]}"
    telemetry = Telemetry()
    transport = Transport(url, region, telemetry, silent_s=silent_s, max_waiting=max_waiting)
    worker = Worker(
        ScriptedEngine(), transport.send, telemetry, wait=Wait(0, 0, 0), changed=transport.beat_now
    )
    await transport.open()

    heartbeat = heartbeat_of(worker, transport, region)
    carrying = asyncio.create_task(transport.run(worker, heartbeat))
    working = asyncio.create_task(worker.run())
    try:
        yield Running(worker, transport, telemetry, region)
    finally:
        worker.drain()
        worker.give_up()
        await working
        await tasks.end([carrying])
        await transport.close(heartbeat())


async def stream_through(g: FakeGateway, name: str = "s") -> None:
    g.say(opening(name), *silence(6.05, name), end(name))
    assert await g.over(name) == Ended(stream=name, epoch=1, processed=96_800)
    assert g.text(name) == SAID


async def test_a_stream_over_a_real_channel_layer(valkey_server: str) -> None:
    async with running(valkey_server) as r, gateway(valkey_server, r.region) as g:
        await stream_through(g)
        assert isinstance(g.of("s")[0], Opened)
        await g.until(lambda: g.peer.idle)


async def test_heartbeats_come_four_times_a_second_and_at_once_on_a_change(valkey_server: str) -> None:
    async with running(valkey_server) as r, gateway(valkey_server, r.region) as g:
        await g.until(lambda: g.beats[-1].state is WorkerState.READY)
        began, before = time.monotonic(), len(g.beats)
        await g.until(lambda: len(g.beats) == before + 5)
        assert 0.8 < time.monotonic() - began < 2.5
        g.say(opening())
        await g.until(lambda: g.beats[-1].active == 1)
        changed = time.monotonic()
        r.worker.drain()
        await g.until(lambda: g.beats[-1].state is WorkerState.DRAINING)
        assert time.monotonic() - changed < 0.2


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_lost_envelopes_in_both_directions_are_repaired(valkey_server: str, seed: int) -> None:
    async with running(valkey_server) as r, gateway(valkey_server, r.region, loss=0.3, seed=seed) as g:
        g.say(opening("a"), opening("b"))
        for audio_a, audio_b in zip(silence(6.05, "a"), silence(6.05, "b"), strict=True):
            g.say(audio_a, audio_b)
            await asyncio.sleep(0.005)
        g.say(end("a"), end("b"))
        assert isinstance(await g.over("a"), Ended)
        assert isinstance(await g.over("b"), Ended)
        assert g.text("a") == g.text("b") == SAID
        assert g.lost > 10
        assert not g.broken


async def test_many_streams_share_an_envelope(valkey_server: str) -> None:
    async with running(valkey_server) as r, gateway(valkey_server, r.region) as g:
        names = [f"s{number}" for number in range(50)]
        g.say(*(opening(name) for name in names))
        for name in names:
            g.say(*silence(6.05, name), end(name))
        for name in names:
            await g.over(name)
            assert g.text(name) == SAID
        assert r.counted("worker_envelopes_sent_total") < len(g.items) / 10


async def test_a_gateway_that_vanishes_frees_its_streams(valkey_server: str) -> None:
    async with running(valkey_server, silent_s=0.5) as r, gateway(valkey_server, r.region) as g:
        g.say(opening(), *silence(1))
        await g.until(lambda: any(isinstance(item, Progress) for item in g.items))
        # Signs of life are enough.
        before = len(g.beats)
        await g.until(lambda: len(g.beats) > before + 4)
        assert r.worker.active == 1
        g.silent = True
        await g.until(lambda: r.worker.active == 0)
        # It comes back, hears that the link is over, and begins the next.
        g.silent = False
        await g.until(lambda: g.broken)
        g.begin_again()
        await stream_through(g, "again")


async def test_a_new_link_takes_the_place_of_a_broken_one(valkey_server: str) -> None:
    async with running(valkey_server) as r, gateway(valkey_server, r.region) as g:
        g.say(opening("old"), *silence(1, "old"))
        await g.until(lambda: any(isinstance(item, Progress) for item in g.items))
        old = g.peer
        g.begin_again()
        await stream_through(g, "new")
        assert r.worker.active == 0
        # What is left of the old link changes nothing.
        old.send([opening("late")])
        for envelope in old.envelopes_to_send(time.monotonic()):
            await g.send(envelope)
        await stream_through(g, "newer")
        assert not g.of("late")
        assert not g.broken


async def test_a_gateway_that_says_goodbye_frees_its_streams_at_once(valkey_server: str) -> None:
    async with running(valkey_server) as r, gateway(valkey_server, r.region) as g:
        g.say(opening())
        await g.until(lambda: g.items)
        await g.send(g.peer.farewell())
        await g.until(lambda: r.worker.active == 0)


async def test_a_gateway_that_never_acknowledges_is_given_up(valkey_server: str) -> None:
    async with running(valkey_server) as r, gateway(valkey_server, r.region) as g:
        g.say(opening(), *silence(1))
        await g.until(lambda: g.items)
        link = r.transport._links[g.address]
        link.peer.resend_after_s, link.peer.broken_after_s = 0.05, 0.3
        g.silent = True
        g.layer.channels[g.address] = BoundedQueue(0, lambda: None)  # and hears nothing
        async with asyncio.timeout(10):
            while r.worker.active:  # noqa: ASYNC110 (nothing more arrives that could wake us)
                await asyncio.sleep(0.01)
        assert r.counted("worker_gateways_lost_total") == 1


async def test_what_does_not_fit_into_the_queue_is_dropped_counted_and_repaired(valkey_server: str) -> None:
    async with running(valkey_server, max_waiting=2) as r, gateway(valkey_server, r.region) as g:
        g.say(opening())
        for number, audio in enumerate([*silence(6.05), end()]):
            g.say(audio)
            for envelope in g.peer.envelopes_to_send(time.monotonic()):
                await g.send(envelope)
            if number % 10 == 0:
                # The receiver does not get to run while these arrive.
                for _ in range(20):
                    r.transport._layer.channels[r.transport.address].put_nowait(b"")
        assert isinstance(await g.over(), Ended)
        assert g.text() == SAID
        assert r.counted("worker_messages_dropped_total") > 0


async def test_malformed_messages_are_dropped_and_counted(valkey_server: str) -> None:
    async with running(valkey_server) as r, gateway(valkey_server, r.region) as g:
        for message in ({"type": "chat"}, {"type": "wire.envelope", "data": b"\xc1"}, {}):
            await g.layer.send(g.worker, message)
        await stream_through(g)
        assert r.counted("worker_messages_dropped_total") == 3


async def test_who_is_no_gateway_gets_no_answer(valkey_server: str) -> None:
    async with running(valkey_server) as r, gateway(valkey_server, r.region) as g:
        await g.layer.send(g.worker, {"type": "wire.envelope", "data": b""})
        stranger = Envelope(sender="stenocelery.1", seq=1, items=(opening("x"),))
        await g.send(stranger)
        await stream_through(g)
        assert list(r.transport._links) == [g.address]


async def test_an_aborted_stream_is_freed_and_nothing_more_is_sent(valkey_server: str) -> None:
    async with running(valkey_server) as r, gateway(valkey_server, r.region) as g:
        g.say(opening(), *silence(1), Abort(stream="s", epoch=1))
        await stream_through(g, "next")
        assert r.worker.active == 0
        assert not [item for item in g.of("s") if isinstance(item, Ended | Failed)]


async def test_a_restart_of_redis_loses_nothing(tmp_path: Path) -> None:
    port = ports.free_port()
    server = valkey.start(tmp_path / "valkey", port, durable=False)
    try:
        async with running(server.url) as r, gateway(server.url, r.region) as g:
            g.say(opening(), *silence(3))
            await g.until(lambda: any(isinstance(item, Progress) for item in g.items))
            server.stop()
            g.say(*silence(3.05, start=48_000), end())
            await asyncio.sleep(0.3)
            server = valkey.start(tmp_path / "valkey", port, durable=False)
            assert isinstance(await g.over(), Ended)
            assert g.text() == SAID
            assert not g.broken
            assert r.transport.connected()
    finally:
        server.stop()
