"""A worker in this process, with whoever stands in for its gateways: no Redis, no sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from inference_worker.engines.base import Engine
from inference_worker.engines.scripted import ScriptedEngine
from inference_worker.loop import Worker
from inference_worker.scheduler import Wait
from inference_worker.telemetry import Telemetry
from wire.messages import (
    SAMPLE_RATE,
    Audio,
    End,
    Ended,
    Failed,
    Final,
    Open,
    Refused,
    StreamOptions,
    ToGateway,
    ToWorker,
    WorkerState,
)

Message = TypeVar("Message", bound=ToGateway)
DEADLINE_S = 10.0
NO_WAIT = Wait(0, 0, 0)


@dataclass
class House:
    worker: Worker
    telemetry: Telemetry
    running: asyncio.Task[None]
    sent: dict[str, list[ToGateway]] = field(default_factory=dict)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, gateway: str, items: list[ToGateway]) -> None:
        self.sent.setdefault(gateway, []).extend(items)
        self.arrived.set()

    def say(self, *items: ToWorker, gateway: str = "gateway") -> None:
        self.worker.receive(gateway, items)

    def heard(self, kind: type[Message], stream: str = "s", gateway: str = "gateway") -> list[Message]:
        return [i for i in self.sent.get(gateway, []) if isinstance(i, kind) and i.stream == stream]

    async def a_turn(self) -> None:
        """For the worker, between two things that are said to it. Nothing is waited for."""
        await asyncio.sleep(0)

    async def until(self, true: Callable[[], object]) -> None:
        """Looks again whenever something was sent, and now and then, until a deadline."""
        async with asyncio.timeout(DEADLINE_S):
            while not true():
                self.arrived.clear()
                try:
                    async with asyncio.timeout(0.01):
                        await self.arrived.wait()
                except TimeoutError:
                    continue

    async def over(self, stream: str = "s", gateway: str = "gateway") -> ToGateway:
        await self.until(lambda: any(self.heard(kind, stream, gateway) for kind in (Ended, Failed, Refused)))
        return next(
            i for i in self.sent[gateway] if i.stream == stream and isinstance(i, Ended | Failed | Refused)
        )

    def text(self, stream: str = "s", gateway: str = "gateway") -> str:
        finals = self.heard(Final, stream, gateway)
        assert [final.index for final in finals] == list(range(len(finals)))
        return " ".join(word.text for final in finals for word in final.words)


@asynccontextmanager
async def house(
    engine: Engine | None = None,
    *,
    max_streams: int = 64,
    recorded_share: float = 1.0,
    wait: Wait = NO_WAIT,
    hangs_after_s: float = 10.0,
    **more: Any,
) -> AsyncIterator[House]:
    """A worker that is ready, and is stopped afterwards."""
    telemetry = Telemetry()
    inside: list[House] = []
    worker = Worker(
        engine or ScriptedEngine(),
        lambda gateway, items: inside[0].take(gateway, items),
        telemetry,
        max_streams=max_streams,
        recorded_share=recorded_share,
        wait=wait,
        hangs_after_s=hangs_after_s,
        **more,
    )
    inside.append(House(worker, telemetry, asyncio.create_task(worker.run())))
    try:
        await inside[0].until(lambda: worker.state is WorkerState.READY)
        yield inside[0]
    finally:
        worker.drain()
        worker.give_up()
        async with asyncio.timeout(DEADLINE_S):
            await inside[0].running


def opening(
    stream: str = "s", *, epoch: int = 1, tenant: str = "acme", start: int = 0, **options: object
) -> Open:
    return Open(
        stream=stream,
        epoch=epoch,
        tenant=tenant,
        start=start,
        options=StreamOptions(**options),  # type: ignore[arg-type]
    )


def silence(
    seconds: float, stream: str = "s", *, epoch: int = 1, start: int = 0, each: int = 1600
) -> list[Audio]:
    """Audio messages of `each` samples; the last may be shorter."""
    total = int(seconds * SAMPLE_RATE)
    return [
        Audio(stream=stream, epoch=epoch, position=start + at, pcm=bytes(2 * min(each, total - at)))
        for at in range(0, total, each)
    ]


def end(stream: str = "s", *, epoch: int = 1) -> End:
    return End(stream=stream, epoch=epoch)
