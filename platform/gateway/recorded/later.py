"""Recordings whose result goes to the customer's own server: the client has its answer, and may leave."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Any

import msgspec

from gateway.callbacks import MAX_BODY_BYTES, Callback
from gateway.errors import AudioTooLong, GatewayError, InternalError, Unavailable
from gateway.parameters import ListenParameters
from gateway.process import Process
from gateway.recorded.guest import Guest

log = logging.getLogger(__name__)

MAX_UNDER_WAY = 500

Work = Callable[[Guest], Awaitable[dict[str, Any]]]
Problem = Callable[[GatewayError, str], dict[str, Any]]

_under_way: set[asyncio.Task[None]] = set()


async def check(house: Process, url: str) -> None:
    """Before anything is read: whether the result could be sent there at all."""
    await house.outbound.check(url)
    if house.callbacks.full or len(_under_way) >= MAX_UNDER_WAY:
        raise Unavailable("No more callbacks can be taken at the moment.", retry_after_s=10)


async def begin(
    guest: Guest, asked: ListenParameters, work: Work, problem: Problem, leaving: ExitStack
) -> None:
    """Do the work in a task of its own, which closes `leaving`, and send what it gives or how it failed."""
    heir = Guest(guest.house, guest.grant, guest.id)
    entered = asyncio.Event()
    task = asyncio.create_task(_work(heir, asked, work, problem, leaving, entered), name="recorded, later")
    _under_way.add(task)
    task.add_done_callback(_under_way.discard)
    # Not before the house knows the heir: nobody would tell it of a revoked key.
    await entered.wait()
    guest.become()


async def _work(
    heir: Guest,
    asked: ListenParameters,
    work: Work,
    problem: Problem,
    leaving: ExitStack,
    entered: asyncio.Event,
) -> None:
    try:
        with leaving:
            body = msgspec.json.encode(await _result(heir, work, entered))
        if len(body) > MAX_BODY_BYTES:
            raise AudioTooLong(f"Its result has {len(body)} bytes; a callback has at most {MAX_BODY_BYTES}.")
    except GatewayError as error:
        body = msgspec.json.encode(problem(error, heir.id))
    except Exception:
        log.exception("request %s failed", heir.id)
        body = msgspec.json.encode(problem(InternalError(), heir.id))
    finally:
        entered.set()
    heir.house.call_back(
        Callback(
            project=str(heir.grant.project_id),
            request_id=heir.id,
            number=0,
            url=asked.callback,
            method=asked.callback_method,
            body=body.decode(),
            created=time.time(),
        )
    )


async def _result(heir: Guest, work: Work, entered: asyncio.Event) -> dict[str, Any]:
    async with heir:
        entered.set()
        return await work(heir)
