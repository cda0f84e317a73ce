from __future__ import annotations

import asyncio
import signal
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from structlog.testing import capture_logs

from inference_worker.breaker import Breaker
from inference_worker.engines.base import EngineStartError
from inference_worker.engines.scripted import SENTENCES, ScriptedEngine, Trouble
from inference_worker.life import Exit, Life, Limits
from inference_worker.loop import Worker
from inference_worker.recycling import Drift, Recycling
from inference_worker.telemetry import Telemetry
from inference_worker.tests.gateways import FakeGateway, gateway, heartbeat_of
from inference_worker.tests.house import end, opening, silence
from inference_worker.transport import Transport
from wire.messages import Ended, Failed, Progress, WorkerState

SAID = " ".join(SENTENCES[:2])
NEVER = float("inf")


@dataclass
class Living:
    worker: Worker
    life: Life
    recycling: Recycling
    ending: asyncio.Task[Exit]

    def signalled(self) -> None:
        self.life._signals.put_nowait(signal.SIGTERM)

    async def over(self) -> Exit:
        async with asyncio.timeout(15):
            return await self.ending


def life_of(
    url: str, region: str, engine: ScriptedEngine, drain_s: float, breaker: Breaker | None
) -> tuple[Worker, Life, Recycling]:
    telemetry = Telemetry()
    transport = Transport(url, region, telemetry)
    worker = Worker(engine, transport.send, telemetry, changed=transport.beat_now, breaker=breaker)
    recycling = Recycling(0, Drift(0), 0.0)
    heartbeat = heartbeat_of(worker, transport, region)
    return worker, Life(worker, transport, telemetry, heartbeat, recycling, Limits(drain_s, 60.0)), recycling


@asynccontextmanager
async def living(
    url: str, trouble: Trouble, *, drain_s: float = 60.0, breaker: Breaker | None = None
) -> AsyncIterator[tuple[Living, FakeGateway]]:
    """A worker of this process, and a gateway that has heard that it is ready."""
    region = f"t{uuid.uuid4().hex[:8]}"
    engine = ScriptedEngine(trouble=trouble)
    engine.warm_up = lambda: None  # type: ignore[method-assign]
    worker, life, recycling = life_of(url, region, engine, drain_s, breaker)
    ending = asyncio.create_task(life.live())
    try:
        async with gateway(url, region) as g:
            await g.until(lambda: g.beats[-1].state is WorkerState.READY)
            del engine.warm_up
            yield Living(worker, life, recycling, ending), g
    finally:
        ending.cancel()
        await asyncio.wait([ending])


async def test_when_it_is_due_its_streams_finish_and_it_asks_to_be_started_again(valkey_server: str) -> None:
    async with living(valkey_server, Trouble()) as (lives, g):
        g.say(opening(), *silence(3))
        await g.until(lambda: any(isinstance(item, Progress) for item in g.items))
        lives.recycling._due = 0.0
        await g.until(lambda: g.beats[-1].state is WorkerState.DRAINING)
        g.say(*silence(3.05, start=48_000), end())
        assert isinstance(await g.over(), Ended)
        # It has stopped once its results are there, not before: nobody takes them from one that has.
        assert g.beats[-1].state is WorkerState.DRAINING
        assert g.text() == SAID
        assert await lives.over() is Exit.RECYCLED
        await g.until(lambda: g.beats[-1].state is WorkerState.STOPPED)


@pytest.mark.parametrize("drain_s", [0.2, 60.0])
async def test_while_it_is_recycled_a_signal_and_the_time_to_drain_hold(
    valkey_server: str, drain_s: float
) -> None:
    async with living(valkey_server, Trouble(), drain_s=drain_s) as (lives, g):
        g.say(opening(), *silence(1))
        await g.until(lambda: any(isinstance(item, Progress) for item in g.items))
        lives.recycling._due = 0.0
        await g.until(lambda: g.beats[-1].state is WorkerState.DRAINING)
        if drain_s > 1:
            lives.signalled()
        failed = await g.over()
        assert isinstance(failed, Failed)
        assert failed.code == "worker_stopping"
        assert await lives.over() is (Exit.STOPPED if drain_s > 1 else Exit.RECYCLED)


async def test_told_to_stop_it_is_not_recycled(valkey_server: str) -> None:
    async with living(valkey_server, Trouble()) as (lives, g):
        g.say(opening(), *silence(1))
        await g.until(lambda: any(isinstance(item, Progress) for item in g.items))
        lives.signalled()
        await g.until(lambda: g.beats[-1].state is WorkerState.DRAINING)
        lives.recycling._due = 0.0
        g.say(*silence(1, start=16_000), end())
        await g.over()
        assert await lives.over() is Exit.STOPPED


async def test_what_the_warm_up_finds_out_is_said_in_a_sentence(
    valkey_server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def warm_up() -> None:
        raise EngineStartError("MAX_STREAMS is 9000. Lower it.")

    engine = ScriptedEngine()
    engine.warm_up = warm_up  # type: ignore[method-assign]
    _, life, _ = life_of(valkey_server, f"t{uuid.uuid4().hex[:8]}", engine, 60.0, None)
    async with asyncio.timeout(15):
        assert await life.live() is Exit.CANNOT_START
    assert "The inference worker cannot start: MAX_STREAMS is 9000. Lower it." in capsys.readouterr().err


async def test_an_engine_that_never_works_again_ends_the_process(valkey_server: str) -> None:
    trouble = Trouble()
    with capture_logs() as lines:
        async with living(valkey_server, trouble, breaker=Breaker(first_pause_s=0.001)) as (lives, g):
            trouble.fail_always = True
            for number in range(3):
                g.say(opening(f"s{number}"), *silence(1, f"s{number}"))
                assert isinstance(await g.over(f"s{number}"), Failed)
            assert await lives.over() is Exit.BROKE
            assert WorkerState.UNHEALTHY in [beat.state for beat in g.beats]
            await g.until(lambda: g.beats[-1].state is WorkerState.STOPPED)
    assert any("EngineGone" in str(line.get("error")) for line in lines)
