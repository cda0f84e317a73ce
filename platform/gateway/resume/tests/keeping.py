"""Keepers over a real Valkey, and streams by hand."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from redis.exceptions import ConnectionError as Away

from gateway.errors import GatewayError
from gateway.lane import Lane
from gateway.resume.keeper import Keeper, Resumption
from gateway.resume.records import Claimed, End, Kept, Records, Save
from gateway.resume.state import Record
from gateway.resume.tests.marks import record, token
from gateway.tests.doors import grant
from metering.requests import Request

GRANT = grant()
DEADLINE_S = 5.0


def entry(name: str) -> Request:
    return Request(
        tenant=str(GRANT.tenant_id), project=str(GRANT.project_id), key=str(GRANT.key_id), request_id=name,
        kind="live", path="/v1/listen", started_at="2026-01-01T00:00:00+00:00",
        ended_at="2026-01-01T00:01:00+00:00", outcome="stream_error", status=500, audio_ms=5, billed_ms=4,
        channels=1, model="m", version="1", language="en", region="test", worker="w",
    )  # fmt: skip


@dataclass(eq=False)
class Stream:
    """One that is held: what a `Visit` is."""

    keeper: Keeper
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    generation: int = 1
    kept: Record = field(default_factory=record)
    lanes: tuple[Lane, ...] = ()
    ended: list[str] = field(default_factory=list)

    def record(self) -> Record:
        return self.kept

    def log_entry(self) -> Request:
        return entry(self.id)

    def let_go(self) -> None:
        self.ended.append("let go")
        self.keeper.left(self, self.lanes)

    def lose(self) -> None:
        self.ended.append("lost")

    def says(self, count: int) -> None:
        """So many finals, in all."""
        self.kept = record(count)
        self.keeper.changed(self)


class Shaky(Records):
    """Valkey, when it is there."""

    away = False
    told: list[Sequence[Save | End]]

    async def tell(self, all_of: Sequence[Save | End]) -> list[Kept]:
        self._look()
        self.told = [*getattr(self, "told", []), all_of]
        return await super().tell(all_of)

    async def claim(self, stream: str, generation: int, *, alone: bool) -> Claimed:
        self._look()
        return await super().claim(stream, generation, alone=alone)

    async def reap(self, most: int) -> dict[str, bytes]:
        self._look()
        return await super().reap(most)

    def _look(self) -> None:
        if self.away:
            raise Away


class Gateway(Keeper):
    records: Shaky
    logged: list[Request]

    async def write(self) -> None:
        await self._write()

    async def reap(self) -> None:
        self._reaped_at = -1e9
        await self._reap()

    def open(self, **changes: Any) -> Stream:
        stream = Stream(self, **changes)
        self.opened(stream)
        return stream

    def go_on(self, came: Resumption) -> Stream:
        return self.open(id=came.stream, generation=came.generation, kept=came.record)

    async def come(self, stream: Stream, generation: int = 1, **shown: Any) -> Resumption:
        last_seq = shown.pop("last_seq", None)
        shown.setdefault("mark", stream.kept.mark)
        return await self.claim(token(GRANT, stream.id, generation=generation, **shown), GRANT, last_seq)


async def refused(coming: Any, by: type[GatewayError]) -> GatewayError:
    with pytest.raises(by) as refusal:
        await coming
    return refusal.value


def ids(entries: Iterable[Request]) -> list[str]:
    return [one.request_id for one in entries]


Keep = Callable[..., Gateway]
