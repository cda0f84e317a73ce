"""How a gateway learns that what it handed to the broker is in the database: the task says so in Valkey.

What the broker has taken can still be lost with it. So a gateway keeps a batch until it reads here that it is
stored, and hands it over again if not: twice is harmless. What is said here may be lost too, for that reason.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

log = logging.getLogger(__name__)

STORED_KEY = "steno:usage:stored:"
MEMORY_KEY = "steno:usage:spool:"
# For a gateway that is away longer, everything is handed over once more.
KEEP_S = 3600
ANSWER_WITHIN_S = 2.0


@cache
def _client() -> redis.Redis:
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=ANSWER_WITHIN_S,
        socket_connect_timeout=ANSWER_WITHIN_S,
        retry=Retry(NoBackoff(), 1),  # a connection that Valkey has closed meanwhile
    )


def say(batch: str) -> None:
    """All records of this batch are stored, or will never be. Called by the task; never raises."""
    if batch:
        try:
            _client().set(STORED_KEY + batch, 1, ex=KEEP_S)
        except (redis.RedisError, OSError) as error:
            log.warning("cannot say that a batch is stored: %s", type(error).__name__)


def look(who: str, batches: Sequence[str]) -> tuple[bool, set[str]]:
    """Whether Valkey has lost its memory since `who` asked last; and which of these are stored. It is said
    once."""
    pipeline = _client().pipeline(transaction=False)
    pipeline.set(MEMORY_KEY + who, 1, ex=KEEP_S, get=True)
    if batches:
        pipeline.mget([STORED_KEY + batch for batch in batches])
    remembered, *more = pipeline.execute()
    answers = more[0] if more else []
    stored = {batch for batch, answer in zip(batches, answers, strict=True) if answer is not None}
    if stored:
        _client().delete(*(STORED_KEY + batch for batch in stored))
    return remembered is None, stored
