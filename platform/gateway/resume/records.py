"""What a region remembers of its streams, in its Valkey, for as long as somebody may come back for them.

A record belongs to the newest connection of its stream, its generation: whoever has an older one finds it
taken. It says until when one may come back, and what the request log is to have if nobody does. Its clock is
Valkey's, so gateways need not agree on the time. The words of the finals are kept apart, for as long as one
may come back and no longer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import chain
from typing import Any

from redis.asyncio import Redis

PREFIX = "stenogate:resume:{%s}:"
# A connection that has not said for so long that it has the stream has lost it.
LEASE_S = 5.0
# After the time to come back: so long whoever is late is told so, and so long the entry of the request log
# waits for a gateway.
TOMBSTONE_S, ENTRY_S = 600.0, 24 * 3600.0
# A gateway that was given entries and did not say that it has them is gone: they are given to another.
GIVEN_FOR_S = 30.0
# A token that stands for itself may be an old one: further on than any connection that nobody knows of.
ALONE = 256

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

# KEYS: record, finals, due. ARGV: id, generation, held (1, or 0: it has left), ms to come back, ms to keep,
# stand, entry or '' for the one before, how many finals there are, then those that are new, each after its
# number, so that asking twice is asking once. Answer: 1; 2 when no finals were known before; 0 when it is
# another's by now, or has ended. One that was given up while its connection could not be heard of goes on.
SAVE = f"""{_NOW}
local gen, over = unpack(redis.call('HMGET', KEYS[1], 'gen', 'over'))
local mine = tonumber(ARGV[2])
if gen and tonumber(gen) > mine then return 0 end
if gen and tonumber(gen) == mine and over and not (over == 'left' and ARGV[3] == '1') then return 0 end
if over then redis.call('HDEL', KEYS[1], 'over') end
local held = ARGV[3] == '1' and now or 0
redis.call('HSET', KEYS[1], 'gen', ARGV[2], 'held', held, 'until', now + ARGV[4], 'stand', ARGV[6])
if ARGV[7] ~= '' then redis.call('HSET', KEYS[1], 'entry', ARGV[7]) end
redis.call('PEXPIRE', KEYS[1], ARGV[5])
for index = 9, #ARGV, 2 do
    redis.call('ZREMRANGEBYSCORE', KEYS[2], ARGV[index], ARGV[index])
    redis.call('ZADD', KEYS[2], ARGV[index], ARGV[index + 1])
end
if ARGV[8] ~= '0' then redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -ARGV[8] - 1) end
redis.call('PEXPIRE', KEYS[2], ARGV[4])
redis.call('ZADD', KEYS[3], now + ARGV[4], ARGV[1])
redis.call('PEXPIRE', KEYS[3], ARGV[5])
return gen and not over and 1 or 2
"""

# KEYS as above. ARGV: id, generation, ms to keep. Answer: 0 when it is another's by now.
END = """
local gen = redis.call('HGET', KEYS[1], 'gen')
if gen and tonumber(gen) > tonumber(ARGV[2]) then return 0 end
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('HSET', KEYS[1], 'gen', ARGV[2], 'over', 'ended')
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('ZREM', KEYS[3], ARGV[1])
return 1
"""

# KEYS as above. ARGV: id, the token's generation, lease ms, ms to come back, ms to keep, whether the token
# may stand for itself (1 or 0), the generation after it then. Answer: what, the generation that the stream
# had, the one it has now, stand, finals. What is older than the token is of before it went to another region,
# from which it comes back: only the token knows of that.
CLAIM = f"""{_NOW}
local known = redis.call('HMGET', KEYS[1], 'gen', 'held', 'until', 'over', 'stand')
local gen, held, till, over, stand = unpack(known)
local mine = tonumber(ARGV[2])
local after
if gen and tonumber(gen) >= mine then
    gen, held, till = tonumber(gen), tonumber(held), tonumber(till)
    if over or now > till then return {{'late', 0, 0, '', {{}}}} end
    if gen > mine and held > 0 and now - held < tonumber(ARGV[3]) then
        return {{'conflict', 0, 0, '', {{}}}}
    end
    after = gen + 1
else
    if ARGV[6] ~= '1' then return {{'late', 0, 0, '', {{}}}} end
    redis.call('DEL', KEYS[1], KEYS[2])
    gen, stand, after = mine, '', tonumber(ARGV[7])
end
redis.call('HSET', KEYS[1], 'gen', after, 'held', now, 'until', now + ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
redis.call('ZADD', KEYS[3], now + ARGV[4], ARGV[1])
redis.call('PEXPIRE', KEYS[3], ARGV[5])
return {{'yours', gen, after, stand or '', redis.call('ZRANGE', KEYS[2], 0, -1)}}
"""

# KEYS: due. ARGV: the prefix of records, what is after it for finals, how many, ms until they are given to
# another. Answer: ids and entries, in turn, of streams that nobody came back to, and nobody can any more.
REAP = f"""{_NOW}
local found = {{}}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[3])) do
    local key = ARGV[1] .. id
    local entry = redis.call('HGET', key, 'entry')
    redis.call('DEL', key .. ARGV[2])
    redis.call('HDEL', key, 'stand')
    if redis.call('EXISTS', key) == 1 then redis.call('HSET', key, 'over', 'left') end
    if entry then
        found[#found + 1] = id
        found[#found + 1] = entry
        redis.call('ZADD', KEYS[1], now + ARGV[4], id)
    else
        redis.call('ZREM', KEYS[1], id)
    end
end
return found
"""

# KEYS: due. ARGV: the prefix of records, ms to keep, then the ids of those whose entries have been taken.
TAKEN = """
for index = 3, #ARGV do
    local key = ARGV[1] .. ARGV[index]
    if redis.call('HGET', key, 'over') == 'left' then
        redis.call('HDEL', key, 'entry')
        redis.call('PEXPIRE', key, ARGV[2])
        redis.call('ZREM', KEYS[1], ARGV[index])
    end
end
"""


class Answer(Enum):
    YOURS = auto()
    CONFLICT = auto()
    LATE = auto()


class Kept(Enum):
    ANOTHERS = 0
    YES = 1
    FOR_THE_FIRST_TIME = 2


@dataclass(frozen=True)
class Save:
    stream: str
    generation: int
    held: bool
    stand: bytes
    entry: bytes  # b"": as before
    finals: tuple[tuple[int, bytes], ...] = ()  # new ones, by their numbers
    remembered: int = 0  # finals in all


@dataclass(frozen=True)
class End:
    stream: str
    generation: int


@dataclass(frozen=True)
class Claimed:
    answer: Answer
    before: int = 0  # the generation that the stream had
    generation: int = 0
    stand: bytes = b""
    finals: tuple[bytes, ...] = ()


class Records:
    def __init__(self, redis: Redis, region: str, window_s: float) -> None:
        self._redis, self._prefix = redis, PREFIX % region
        self._due, self._finals = self._prefix + "due", ":finals"
        self._window, self._lease, self._given = map(_ms, (window_s, LEASE_S, GIVEN_FOR_S))
        self._tombstone, self._keep = _ms(window_s + TOMBSTONE_S), _ms(window_s + ENTRY_S)
        scripts = (SAVE, END, CLAIM, REAP, TAKEN)
        self._save, self._end, self._claim, self._reap, self._taken = map(redis.register_script, scripts)

    def _keys(self, stream: str) -> list[str]:
        key = self._prefix + stream
        return [key, key + self._finals, self._due]

    async def tell(self, all_of: Sequence[Save | End]) -> list[Kept]:
        pipeline: Any = self._redis.pipeline(transaction=False)
        for one in all_of:
            if isinstance(one, End):
                arguments: list[Any] = [one.stream, one.generation, self._tombstone]
                await self._end(self._keys(one.stream), arguments, pipeline)
                continue
            till = self._window + (self._lease if one.held else 0)
            arguments = [one.stream, one.generation, int(one.held), till, self._keep, one.stand, one.entry]
            arguments += [one.remembered, *chain.from_iterable(one.finals)]
            await self._save(self._keys(one.stream), arguments, pipeline)
        return [Kept(answer) for answer in await pipeline.execute()]

    async def claim(self, stream: str, generation: int, *, alone: bool) -> Claimed:
        """`alone`: the token may stand for itself where nothing is remembered."""
        till = self._window + self._lease
        arguments: list[str | int] = [stream, generation, self._lease, till, self._keep]
        arguments += [int(alone), generation + ALONE]
        what, before, after, stand, finals = await self._claim(self._keys(stream), arguments)
        return Claimed(Answer[what.decode().upper()], before, after, stand, tuple(finals))

    async def reap(self, most: int) -> dict[str, bytes]:
        """What the request log is to have of streams that nobody came back to. Each is given to one gateway
        at a time, until that says that it has them."""
        found = await self._reap([self._due], [self._prefix, self._finals, most, self._given])
        return {name.decode(): entry for name, entry in zip(found[::2], found[1::2], strict=True)}

    async def taken(self, streams: Iterable[str]) -> None:
        await self._taken([self._due], [self._prefix, str(self._tombstone), *streams])

    async def close(self) -> None:
        await self._redis.aclose()


def _ms(seconds: float) -> int:
    return int(1000 * seconds)
