"""Celery's side of callbacks. A task may run twice: the receiver tells by the `webhook-id`."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

import redis
from celery import Task, shared_task
from django.conf import settings

from faults import kinds
from faults.kinds import Kind
from faults.pauses import pause_s
from gateway import callbacks, outbound, receivers
from gateway.callbacks import IN_ORDER_FOR_S, LONGEST_PAUSE_S, TRY_FOR_S, Callback
from gateway.receivers import Busy

log = logging.getLogger(__name__)

WAIT_FOR_TURN_S = 0.5
ANSWER_WITHIN_S = 5.0  # of Valkey
# Callbacks of one project that wait for another try. They are in the memory of the process that will try.
MAX_WAITING = 5_000


@shared_task(name=Callback.task, bind=True, max_retries=None)
def deliver_callback(self: Task[Any, Any], raw: dict[str, Any]) -> None:
    what = Callback(**raw)
    try:
        with _valkey() as valkey:
            again, pause = _deliver(what, valkey)
    except redis.RedisError as error:
        if kinds.of_valkey(error) is Kind.FATAL:
            raise
        # Perhaps it was sent: the receiver can tell.
        again, pause = what, pause_s(self.request.retries + 1, first_s=1, longest_s=60)
    if again is not None:
        raise self.retry(args=(again.as_dict(),), countdown=pause, **_described(what))


def _deliver(what: Callback, valkey: redis.Redis) -> tuple[Callback | None, float]:
    """What is to be tried again, and after how many seconds."""
    now, its = time.time(), receivers.current()
    if now - what.created < IN_ORDER_FOR_S and what.number > _next(valkey, what):
        return what, WAIT_FOR_TURN_S
    left_alone_s = busy_s = 0.0
    try:
        left_alone_s = its.begin(what)
    except Busy:
        # At least half as long as it has waited already, so that thousands of them are no load.
        busy_s = max(WAIT_FOR_TURN_S, min(now - what.created, LONGEST_PAUSE_S) / 2) * (1 + random.random())
    if not left_alone_s and not busy_s:
        over = False
        try:
            over = asyncio.run(callbacks.send(what, outbound.current(), now))
        finally:
            its.end(what, answered=over)
        if over:
            _done(valkey, what)
            return None, 0.0
    # Its server was tried, or is known not to answer; or its project has enough under way.
    pause = callbacks.next_try_s(what, time.time(), random.random())
    if pause is None or (what.attempt == 0 and not _may_wait(valkey, what)):
        log.warning("%s: given up after %d tries", what, what.attempt + 1)
        _done(valkey, what)
        return None, 0.0
    return replace(what, attempt=what.attempt + 1), busy_s or max(pause, left_alone_s)


def publish(task: str, records: list[dict[str, Any]]) -> None:
    """What the gateway's emitter calls, from a thread. May publish some of them and fail: they come again."""
    for record in records:
        described = _described(Callback(**record))
        deliver_callback.apply_async((record,), retry=False, ignore_result=True, **described)


def _described(what: Callback) -> dict[str, Any]:
    """Celery would put the arguments in words into the task's headers, which tools show."""
    return {"argsrepr": str(what)}


# ---- what the tasks of one request and of one project know of each other


def _next(valkey: redis.Redis, what: Callback) -> int:
    """The number of the callback that is due. Should that be forgotten, each waits as long as any waits."""
    return int(cast(bytes | None, valkey.get(_turn(what))) or 0)


def _done(valkey: redis.Redis, what: Callback) -> None:
    # Two at once may set it back; then the next one waits for nothing, for as long as any waits.
    if what.number >= _next(valkey, what):
        valkey.set(_turn(what), what.number + 1, ex=int(TRY_FOR_S))
    if what.attempt:
        valkey.decr(_waiting(what))


def _may_wait(valkey: redis.Redis, what: Callback) -> bool:
    waiting = valkey.incr(_waiting(what))
    # Should a process die and its count with it, the count is forgotten in the end.
    valkey.expire(_waiting(what), int(TRY_FOR_S))
    if waiting <= MAX_WAITING:
        return True
    valkey.decr(_waiting(what))
    return False


def _turn(what: Callback) -> str:
    return f"steno:callback:next:{what.request_id}"


def _waiting(what: Callback) -> str:
    return f"steno:callback:waiting:{what.project}"


@contextmanager
def _valkey() -> Iterator[redis.Redis]:
    with redis.from_url(
        settings.REDIS_URL, socket_timeout=ANSWER_WITHIN_S, socket_connect_timeout=ANSWER_WITHIN_S
    ) as client:
        yield client
