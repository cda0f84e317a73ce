"""May this stream be opened, or this request be answered, within the limits of its plan and project?

The truth is in Redis, for all gateways of a region. A stream that is let in has a lease there, renewed by its
process every few seconds: a gateway that is killed frees its places when its leases run out. The audio of
open streams is added up at the same time, and a stream that has used up its day is ended by name.

A refusal uses up nothing, so whoever waits as told finds a place; a stream that no worker takes gives its
place and its opening back. While Redis is away nobody is let in, and what is open goes on: they are told so
at once, by a breaker, and need not wait for it. While the usage record is away, the audio of the day is what
was last known of it and what was let in since.
"""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from collections import Counter, OrderedDict, deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from faults import kinds
from faults.breaker import Breaker
from faults.kinds import Kind
from gateway import quota_scripts, quotas, telemetry, valkey
from gateway.door import Holder
from gateway.errors import ControlDatabaseUnreachable, LimitReached, Unavailable
from gateway.quotas import Account, Keys
from tenants.access import KeyGrant
from wire.tasks import end, stop_if_cancelled

log = logging.getLogger(__name__)

ANSWER_WITHIN_S = valkey.ANSWER_WITHIN_S
LEASE_S = 15.0
RENEW_EVERY_S = 3.0
OPENINGS_WINDOW_S, REQUESTS_WINDOW_S = 60.0, 1.0
BRING_WITHIN_S = 4.0
MAX_LEAVING = 20_000  # those beyond it end with their leases
LEAVE_BATCH = 500
MAX_REMEMBERED = 20_000  # accounts of which the audio of the day is known without Redis
# So long the audio of a day counts that the usage record could not confirm; then it is asked again.
UNCONFIRMED_FOR = timedelta(minutes=1)
AWAY = (RedisError, OSError, TimeoutError)

Left = tuple[str, tuple[Account, Account], bool]  # the lease, whose, and whether it had been opened
# The processed audio of an account since a moment, in ms, from the usage record.
Recorded = Callable[[Account, datetime], Awaitable[int]]


@dataclass
class _Held:
    stream: Holder
    accounts: tuple[Account, Account]  # by their ids; the limits are those of the stream's grant as it is now
    counted_ms: int = 0


@dataclass
class Admission:
    redis: Redis
    keys: Keys
    recorded: Recorded
    lease_s: float = LEASE_S
    renew_every_s: float = RENEW_EVERY_S
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    breaker: Breaker = field(default_factory=lambda: Breaker(first_pause_s=0.5, longest_pause_s=5.0))
    _held: dict[str, _Held] = field(default_factory=dict)
    _owed: Counter[Account] = field(default_factory=Counter)  # processed audio that Redis has not heard of
    _leaving: deque[Left] = field(default_factory=lambda: deque(maxlen=MAX_LEAVING))
    _somebody_left: asyncio.Event = field(default_factory=asyncio.Event)
    _bringing: dict[str, asyncio.Task[bool]] = field(default_factory=dict)
    _remembered: OrderedDict[str, int] = field(default_factory=OrderedDict)  # by Redis's key, with the day
    _task: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self._enter = self.redis.register_script(quota_scripts.ENTER)
        self._request = self.redis.register_script(quota_scripts.REQUEST)
        self._renew = self.redis.register_script(quota_scripts.RENEW)

    @classmethod
    def at(cls, url: str, region: str, recorded: Recorded, **options: Any) -> Admission:
        made = cls(valkey.client(url), Keys(region), recorded, **options)
        telemetry.breakers_open.labels("valkey").set_function(lambda: made.breaker.open)
        return made

    def start(self) -> None:
        self._task = asyncio.create_task(self._keep_forever(), name="keep leases")

    async def stop(self) -> None:
        """Tell Redis who has left. What it cannot be told it finds out when the leases run out."""
        await end([task for task in (self._task, *self._bringing.values()) if task is not None])
        try:
            await self._say_who_left()
            await self.renew()
        except AWAY as error:
            log.warning("limits: stopped without a last word: %s", type(error).__name__)
        await self.redis.aclose()

    # ---- in and out

    async def enter(self, stream: Holder, counted_ms: int = 0) -> None:
        """Take a place for the stream, or raise the refusal. Asking twice for the same stream takes one. So
        much of its audio has been counted already, when a client comes back."""
        both = quotas.accounts(stream.grant)
        try:
            await self._let_in(stream.id, both)
        except BaseException as error:
            if not isinstance(error, LimitReached):
                # Perhaps only the answer was lost. Harmless where there is no lease.
                self._leave(stream.id, both, opened=False)
            raise
        self._held[stream.id] = _Held(stream, both, counted_ms)

    def hand_over(self, stream: Holder) -> None:
        """The place that somebody of its id has is the stream's from now on."""
        if held := self._held.get(stream.id):
            held.stream = stream

    def leave(self, stream: Holder, *, opened: bool = True) -> None:
        """Give the place back; at once here, and a moment later in Redis. `opened=False`: the opening too.
        Leaving twice, or without having been in, changes nothing."""
        held = self._held.get(stream.id)
        if held is not None and held.stream is stream:  # and not somebody who has come back to it
            del self._held[stream.id]
            self._count(held)
            self._leave(stream.id, held.accounts, opened=opened)

    async def request(self, grant: KeyGrant) -> None:
        """One request of the REST interface, or the refusal."""
        both = quotas.accounts(grant)
        limits = [_or_none(account.limits.requests_a_second) for account in both]
        if limits == [-1, -1]:
            return
        answer = await self._ask(
            self._request,
            [self.keys.requests(account) for account in both],
            [uuid.uuid4().hex, _ms(REQUESTS_WINDOW_S), *limits],
        )
        if answer:
            raise self._refusal(both, answer)

    async def _let_in(self, lease: str, both: tuple[Account, Account]) -> None:
        for _ in range(1 + len(both)):  # the audio of each account may have to be brought first
            now = self.now()
            keys = [
                key
                for account in both
                for key in (
                    self.keys.streams(account),
                    self.keys.openings(account),
                    self.keys.audio(account, now),
                )
            ]
            limits = [
                _or_none(limit)
                for account in both
                for limit in (
                    account.limits.streams_at_once,
                    account.limits.openings_a_minute,
                    account.limits.audio_ms_a_day,
                )
            ]
            answer = await self._ask(
                self._enter, keys, [lease, _ms(self.lease_s), _ms(OPENINGS_WINDOW_S), *limits]
            )
            if not answer:
                return
            if answer[0] != b"unknown":
                raise self._refusal(both, answer)
            await self._bring(both[answer[1]], now)
        raise _unavailable()

    async def _ask(self, script: Any, keys: list[str], arguments: list[Any]) -> list[Any]:
        if wait_s := self.breaker.wait_s(_clock()):
            raise _unavailable(wait_s)
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                answer: list[Any] = await script(keys, arguments)
        except AWAY as error:
            self._note(error)
            log.warning("limits: %s", type(error).__name__)
            raise _unavailable() from None
        except asyncio.CancelledError:
            self.breaker.left()
            raise
        self.breaker.worked()
        stop_if_cancelled()
        return answer

    def _note(self, error: Exception) -> None:
        telemetry.limit_errors.inc()
        if kinds.of_valkey(error) is Kind.FATAL:
            self.breaker.worked()  # it is there
        elif self.breaker.failed(_clock()):
            log.error("limits: Redis does not answer, and is asked again after a pause")

    def _refusal(self, both: tuple[Account, Account], answer: list[Any]) -> LimitReached:
        what, index, wait_ms = answer[0].decode(), answer[1], answer[2]
        account = both[index]
        wait_s = quotas.until_midnight_s(self.now()) if what == "audio" else wait_ms / 1000
        telemetry.limits_reached.labels(what, account.kind).inc()
        return quotas.REFUSALS[what](account, wait_s)

    # ---- the audio of the day

    async def _bring(self, account: Account, now: datetime) -> None:
        if not await asyncio.shield(self._begin_to_bring(account, now)):
            raise _unavailable()

    def _begin_to_bring(self, account: Account, now: datetime) -> asyncio.Task[bool]:
        """Have the audio of the day in Redis, from the usage record. Once, however many want it."""
        key = self.keys.audio(account, now)
        if key not in self._bringing:
            self._bringing[key] = asyncio.create_task(self._bring_now(key, account, now), name="bring usage")
            self._bringing[key].add_done_callback(lambda _: self._bringing.pop(key, None))
        return self._bringing[key]

    async def _bring_now(self, key: str, account: Account, now: datetime) -> bool:
        keep = timedelta(seconds=quotas.until_midnight_s(now), hours=1)
        try:
            async with asyncio.timeout(BRING_WITHIN_S):
                if await self.redis.exists(key):
                    return True  # brought between Redis's answer to the one who asks and now
                used_ms = self._remembered.get(key, 0)
                try:
                    # What this process knows may not have been recorded yet.
                    used_ms = max(used_ms, await self.recorded(account, quotas.midnight_before(now)))
                except Exception as error:
                    if key not in self._remembered and not _is_away(error):
                        raise
                    log.warning("limits: the audio of the day is not confirmed: %s", type(error).__name__)
                    keep = UNCONFIRMED_FOR
                # Not if another gateway has done it meanwhile: it may have added to it since.
                await self.redis.set(key, used_ms, nx=True, px=keep)
                self._remember(key, used_ms)
        except Exception as error:
            telemetry.limit_errors.inc()
            log.warning("limits: cannot tell the audio of the day: %s", type(error).__name__)
            return False
        return True

    def _remember(self, key: str, used_ms: int) -> None:
        self._remembered[key] = used_ms
        self._remembered.move_to_end(key)
        while len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)

    def _count(self, held: _Held) -> None:
        processed_ms = held.stream.processed_ms
        for account in held.accounts:
            self._owed[account] += processed_ms - held.counted_ms
        held.counted_ms = processed_ms

    # ---- what is said to Redis without anybody waiting for it

    def _leave(self, lease: str, both: tuple[Account, Account], *, opened: bool) -> None:
        self._leaving.append((lease, both, opened))
        self._somebody_left.set()

    async def _keep_forever(self) -> None:
        # One task for both, one after the other: a renewal under way cannot bring back who has left since.
        loop = asyncio.get_running_loop()
        renew_at = loop.time() + self.renew_every_s
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(renew_at):
                    await self._somebody_left.wait()
            try:
                await self._say_who_left()
                if loop.time() >= renew_at:
                    await self.renew()
                    renew_at = loop.time() + self.renew_every_s
            except Exception as error:
                self._note(error)
                log.warning("limits: leases not renewed: %s", type(error).__name__)
                await asyncio.sleep(min(1.0, self.renew_every_s) * random.uniform(0.5, 1))

    async def _say_who_left(self) -> None:
        self._somebody_left.clear()
        while self._leaving:
            batch = [self._leaving.popleft() for _ in range(min(LEAVE_BATCH, len(self._leaving)))]
            try:
                async with asyncio.timeout(ANSWER_WITHIN_S):
                    await self._give_back(batch)
            except BaseException:
                self._leaving.extendleft(reversed(batch))
                self._somebody_left.set()
                raise

    async def _give_back(self, batch: list[Left]) -> None:
        pipeline = self.redis.pipeline(transaction=False)
        for lease, both, opened in batch:
            if lease in self._held:
                continue  # its client has come back meanwhile
            for account in both:
                pipeline.zrem(self.keys.streams(account), lease)
                if not opened:
                    pipeline.zrem(self.keys.openings(account), lease)
        await pipeline.execute()

    async def renew(self) -> None:
        """Renew every lease of this process, add up the audio, and end the streams that have used it up."""
        now = self.now()
        leases: dict[str, list[str]] = {}
        for held in self._held.values():
            self._count(held)
            for account in held.accounts:
                leases.setdefault(self.keys.streams(account), []).append(held.stream.id)
        holders = self._limited_holders(now)
        owed, self._owed = self._owed, Counter()
        add: dict[str, int] = dict.fromkeys(holders, 0)
        for account, ms in owed.items():
            if ms > 0:
                add[self.keys.audio(account, now)] = add.get(self.keys.audio(account, now), 0) + ms
        telemetry.leases.set(len(self._held))
        if not leases and not add:
            return
        arguments: list[Any] = [_ms(self.lease_s), len(leases)]
        for names in leases.values():
            arguments += [len(names), *names]
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                used = await self._renew([*leases, *add], [*arguments, *add.values()])
        except AWAY:
            self._owed.update(owed)
            raise
        self.breaker.worked()
        for key, used_ms in zip(add, used, strict=True):
            if used_ms >= 0:
                self._remember(key, used_ms)
            elif key in self._remembered:
                self._remember(key, self._remembered[key] + add[key])
            self._judge(holders.get(key, []), used_ms, now)

    def _limited_holders(self, now: datetime) -> dict[str, list[tuple[Account, Holder]]]:
        """By the key of the audio: the streams whose account has a limit of it, as of now."""
        found: dict[str, list[tuple[Account, Holder]]] = {}
        for held in self._held.values():
            for account in quotas.accounts(held.stream.grant):
                if account.limits.audio_ms_a_day is not None:
                    found.setdefault(self.keys.audio(account, now), []).append((account, held.stream))
        return found

    def _judge(self, holders: list[tuple[Account, Holder]], used_ms: int, now: datetime) -> None:
        """`holders` are of one account, of which `used_ms` is the audio of the day; -1: not known."""
        if used_ms < 0 and holders:
            # The day is new, or Redis has lost its memory. The next renewal knows it.
            self._begin_to_bring(holders[0][0], now)
            return
        for account, stream in holders:
            limit = account.limits.audio_ms_a_day
            if limit is not None and used_ms >= limit:
                error = quotas.audio_used_up(account, quotas.until_midnight_s(now))
                if stream.wind_up(error):
                    telemetry.limits_reached.labels("open_audio", account.kind).inc()


def _unavailable(wait_s: float | None = None) -> Unavailable:
    return Unavailable("The limits of this account cannot be checked at the moment.", retry_after_s=wait_s)


def _is_away(error: Exception) -> bool:
    """Not one that is only slow: it may know of much that was used."""
    if isinstance(error, TimeoutError):
        return False
    return isinstance(error, ControlDatabaseUnreachable) or kinds.postgres_is_away(error)


def _clock() -> float:
    return asyncio.get_running_loop().time()


def _or_none(limit: int | None) -> int:
    return -1 if limit is None else limit


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
