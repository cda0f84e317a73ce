"""What tests of limits share: a stream and a usage record by hand, and gateways over a real Valkey."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from gateway.admission import Admission
from gateway.errors import GatewayError, LimitReached, TooManyStreams
from gateway.quotas import Account
from tenants.access import KeyGrant
from tenants.limits import UNLIMITED, Limits

DEADLINE_S = 10.0
Open = Callable[..., Awaitable[Admission]]


def grant(plan: Limits = UNLIMITED, project: Limits = UNLIMITED, **changes: Any) -> KeyGrant:
    made = KeyGrant(
        tenant_id=uuid.uuid4(),
        project_id=uuid.uuid4(),
        key_id=uuid.uuid4(),
        prefix="p" * 12,
        sha256=bytes(32),
        scopes=frozenset({"listen"}),
        expires_at=None,
        revoked_at=None,
        allowed_origins=frozenset(),
        tenant_state="active",
        plan="Small",
        plan_limits=plan,
        project_limits=project,
    )
    return replace(made, **changes)


@dataclass(eq=False)
class HandStream:
    grant: KeyGrant
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    processed_ms: int = 0
    failure: GatewayError | None = None

    def wind_up(self, error: GatewayError) -> bool:
        before, self.failure = self.failure, error
        return before is None


class Record:
    """The usage record: what is in it, and how often it was asked."""

    def __init__(self) -> None:
        self.ms: dict[str, int] = {"project": 0, "plan": 0}
        self.asked: list[str] = []
        self.since: datetime | None = None
        self.broken: Exception | None = None

    async def __call__(self, account: Account, since: datetime) -> int:
        self.asked.append(account.kind)
        self.since = since
        await asyncio.sleep(0)
        if self.broken:
            raise self.broken
        return self.ms[account.kind]


@asynccontextmanager
async def region(url: str, record: Record) -> AsyncIterator[Open]:
    """Makes gateways of one region that no other test has."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    async with AsyncExitStack() as leaving:

        async def make(*, started: bool = True, **options: Any) -> Admission:
            made = Admission.at(url, name, record, **options)
            if started:
                made.start()
            leaving.push_async_callback(made.stop)
            return made

        yield make


async def enter(door: Admission, *streams: HandStream) -> list[HandStream]:
    """All at once. Those who were let in; the others were refused for the streams at once."""
    answers = await asyncio.gather(*(door.enter(stream) for stream in streams), return_exceptions=True)
    assert all(answer is None or isinstance(answer, TooManyStreams) for answer in answers), answers
    return [stream for stream, answer in zip(streams, answers, strict=True) if answer is None]


async def until(look: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not await look():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def lets_in(door: Admission, who: KeyGrant) -> bool:
    """Whether there is a place, without keeping it."""
    stream = HandStream(who)
    try:
        await door.enter(stream)
    except LimitReached:
        return False
    door.leave(stream, opened=False)
    await door._say_who_left()
    return True


async def open_now(door: Admission, who: KeyGrant) -> int:
    account = Account("plan", who.tenant_id, who.tenant_id, UNLIMITED, "")
    return int(await door.redis.zcard(door.keys.streams(account)))


async def is_(number: Awaitable[int], wanted: int) -> bool:
    return await number == wanted
