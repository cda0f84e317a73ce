"""What a region remembers of its streams, in its Valkey, for as long as somebody may come back for them.

A record belongs to the newest connection of its stream, its generation: whoever has an older one finds it
taken. It says until when one may come back, and what the request log is to have if nobody does. Its clock is
Valkey's, so gateways need not agree on the time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from redis.asyncio import Redis

PREFIX = "stenogate:resume:{%s}:"
# A connection that has not said for so long that it has the stream has lost it.
LEASE_S = 5.0
# The record itself stays a little longer than one may come back, so that who is late is told so.
KEEP_S = 600.0

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

# KEYS: record, due. ARGV: id, generation, held (1, or 0: it has left), ms to come back, ms to keep, body,
# entry or '' for the one before. Answer: 1, or 0 when it is another's by now.
SAVE = f"""{_NOW}
local gen, over = unpack(redis.call('HMGET', KEYS[1], 'gen', 'over'))
if over or (gen and tonumber(gen) > tonumber(ARGV[2])) then return 0 end
local held = ARGV[3] == '1' and now or 0
redis.call('HSET', KEYS[1], 'gen', ARGV[2], 'held', held, 'until', now + ARGV[4])
redis.call('HSET', KEYS[1], 'body', ARGV[6])
if ARGV[7] ~= '' then redis.call('HSET', KEYS[1], 'entry', ARGV[7]) end
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call('ZADD', KEYS[2], now + ARGV[4], ARGV[1])
return 1
"""

# KEYS as above. ARGV: id, generation, ms to keep. Answer: 0 when it is another's by now.
END = """
local gen = redis.call('HGET', KEYS[1], 'gen')
if gen and tonumber(gen) > tonumber(ARGV[2]) then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'gen', ARGV[2], 'over', 1)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('ZREM', KEYS[2], ARGV[1])
return 1
"""

# KEYS as above. ARGV: id, the token's generation, lease ms, ms to come back, ms to keep, whether the token
# may stand for itself (1 or 0). Answer: what, the generation it has now, body.
CLAIM = f"""{_NOW}
local known = redis.call('HMGET', KEYS[1], 'gen', 'held', 'until', 'over', 'body')
local gen, held, till, over, body = unpack(known)
local mine = tonumber(ARGV[2])
if over then return {{'late', 0, ''}} end
if not gen then
    if ARGV[6] ~= '1' then return {{'late', 0, ''}} end
    gen, held, till = mine, 0, now
end
gen, held, till = tonumber(gen), tonumber(held), tonumber(till)
if now > till then return {{'late', 0, ''}} end
if gen > mine and held > 0 and now - held < tonumber(ARGV[3]) then return {{'conflict', 0, ''}} end
gen = math.max(gen, mine) + 1
redis.call('HSET', KEYS[1], 'gen', gen, 'held', now, 'until', now + ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call('ZADD', KEYS[2], now + ARGV[4], ARGV[1])
return {{'yours', gen, body or ''}}
"""

# KEYS: due. ARGV: the prefix of records, how many, ms to keep. Answer: entries of streams that nobody came
# back to. Each is given out once.
REAP = f"""{_NOW}
local entries = {{}}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[2])) do
    local key = ARGV[1] .. id
    local entry = redis.call('HGET', key, 'entry')
    if entry then entries[#entries + 1] = entry end
    redis.call('ZREM', KEYS[1], id)
    redis.call('DEL', key)
    redis.call('HSET', key, 'gen', 0, 'over', 1)
    redis.call('PEXPIRE', key, ARGV[3])
end
return entries
"""


class Answer(Enum):
    YOURS = auto()
    CONFLICT = auto()
    LATE = auto()


@dataclass(frozen=True)
class Save:
    stream: str
    generation: int
    held: bool
    body: bytes
    entry: bytes


@dataclass(frozen=True)
class End:
    stream: str
    generation: int


@dataclass(frozen=True)
class Claimed:
    answer: Answer
    generation: int = 0
    body: bytes = b""


class Records:
    def __init__(self, redis: Redis, region: str, window_s: float) -> None:
        self._redis, self._prefix = redis, PREFIX % region
        self._due = self._prefix + "due"
        self._window, self._lease, self._keep = (
            int(1000 * seconds) for seconds in (window_s, LEASE_S, window_s + KEEP_S)
        )
        self._save, self._end, self._claim, self._reap = map(redis.register_script, (SAVE, END, CLAIM, REAP))

    async def tell(self, all_of: Iterable[Save | End]) -> list[bool]:
        """False for each that is another connection's by now."""
        pipeline: Any = self._redis.pipeline(transaction=False)
        for one in all_of:
            keys = [self._prefix + one.stream, self._due]
            if isinstance(one, End):
                await self._end(keys, [one.stream, one.generation, self._keep], pipeline)
            else:
                till = self._window + (self._lease if one.held else 0)
                values: list[Any] = [
                    one.stream,
                    one.generation,
                    int(one.held),
                    till,
                    self._keep,
                    one.body,
                    one.entry,
                ]
                await self._save(keys, values, pipeline)
        return [bool(answer) for answer in await pipeline.execute()]

    async def claim(self, stream: str, generation: int, *, alone: bool) -> Claimed:
        """`alone`: the token may stand for itself where nothing is remembered."""
        keys = [self._prefix + stream, self._due]
        till = self._window + self._lease
        what, taken, body = await self._claim(
            keys, [stream, generation, self._lease, till, self._keep, int(alone)]
        )
        return Claimed(Answer[what.decode().upper()], int(taken), body)

    async def reap(self, most: int) -> list[bytes]:
        """What the request log is to have of streams that nobody came back to."""
        entries: list[bytes] = await self._reap([self._due], [self._prefix, most, self._keep])
        return entries

    async def close(self) -> None:
        await self._redis.aclose()
