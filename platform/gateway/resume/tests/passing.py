"""Time that passes in Valkey, whose clock is nobody's to move: what it has noted is as if noted earlier."""

from __future__ import annotations

from gateway.resume.records import Records


async def pass_in(kept: Records, seconds: float) -> None:
    redis, past = kept._redis, -int(1000 * seconds)
    for name in await redis.zrange(kept._due, 0, -1):
        await redis.zincrby(kept._due, past, name)
        record = kept._keys(name.decode())[0]
        for noted in ("until", "held"):
            if int(await redis.hget(record, noted) or 0) > 0:
                await redis.hincrby(record, noted, past)
