"""What the people on call look at: `/healthz` and `/metrics`.

`/healthz` answers 200 when every part is ready, else 503, with a line for each part either way. A part that
is `weak` is away, and the gateway serves all the same, for a while.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
import logging
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from channels.db import database_sync_to_async
from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse
from prometheus_client import CONTENT_TYPE_LATEST, Gauge, generate_latest
from redis import asyncio as aioredis
from redis.exceptions import RedisError

from config import env
from config.celery import ALIVE_KEY, CALLBACKS_ALIVE_KEY
from gateway import certificates, control, process, telemetry
from gateway.control import ControlDatabase
from metering import health as billing
from metering.payments import client as payments
from wire.messages import WorkerState

log = logging.getLogger(__name__)

PART_TIMEOUT_S = 2.0
# Whoever asks more often gets the last answer, so that asking cannot become a load on the database.
KEEP_S = 0.5
PULLED_WITHIN_S = 5.0
WRITTEN_BY_PROXIES = ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via")

parts_ready = Gauge("stenogate_gateway_part_ready", "1 while a part of /healthz is ready, else 0.", ["part"])
workers = Gauge("stenogate_gateway_workers", "Workers that this process hears, by state.", ["state"])

Check = Callable[[], Awaitable[str]]


class NotReady(Exception):
    """A part is not ready; the message says why."""


def _select_one() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


async def _database() -> str:
    if process.current().database.away:
        raise NotReady("cannot be reached")
    await control.in_thread(_select_one)
    return "answers"


async def _redis() -> str:
    async with aioredis.from_url(settings.REDIS_URL) as client:
        await client.ping()
    return "answers"


async def _celery() -> str:
    async with aioredis.from_url(settings.REDIS_URL) as client:
        if await client.get(ALIVE_KEY) is None:
            raise NotReady("neither beat nor a worker has been heard of in the last seconds")
    return "beat and worker are alive"


async def _link() -> str:
    if not process.current().link.alive:
        raise NotReady("not listening on the channel layer")
    return "listening"


async def _keys() -> str:
    database = process.current().database
    if database.silent_s is None:
        raise NotReady("revocations have never been read from the database")
    if database.silent_s > PULLED_WITHIN_S:
        raise NotReady(
            f"revocations have not been read from the database for {database.silent_s:.0f} s; "
            f"keys that are known are served for another {database.grace_left_s:.0f} s"
        )
    return "revocations are current"


async def _workers() -> str:
    pool = process.current().link.pool
    ready = pool.ready()
    if not ready:
        others = ", ".join(f"{h.worker} is {h.state}" for h in pool.all())
        raise NotReady(others or "none has been heard of")
    return f"{len(ready)} ready, room for {sum(h.capacity - h.active for h in ready)} streams"


CHECKS: dict[str, Check] = {
    "database": _database,
    "redis": _redis,
    "celery": _celery,
    "link": _link,
    "keys": _keys,
    "workers": _workers,
}


async def _line(name: str, check: Check) -> tuple[bool, str]:
    try:
        async with asyncio.timeout(PART_TIMEOUT_S):
            return True, f"ok    {name}: {await check()}"
    except NotReady as error:
        return False, f"down  {name}: {error}"
    except TimeoutError:
        return False, f"down  {name}: no answer in {PART_TIMEOUT_S:g} s"
    except Exception as error:
        # The error's text may hold addresses or passwords; its kind is enough to know where to look.
        return False, f"down  {name}: {type(error).__name__}"


async def report() -> tuple[bool, str]:
    lines = await asyncio.gather(*(_line(name, check) for name, check in CHECKS.items()))
    house = process.current()
    for name, (ok, _) in zip(CHECKS, lines, strict=True):
        parts_ready.labels(name).set(ok)
    found = dict(zip(CHECKS, lines, strict=True))
    forgiven = _forgiven(house.database) if not found["database"][0] or not found["keys"][0] else ()
    texts = [_weak(text) if name in forgiven else text for name, (_, text) in found.items()]
    if house.draining:
        texts.append("down  gateway: draining")
    ready = all(ok or name in forgiven for name, (ok, _) in found.items()) and not house.draining
    return ready, "\n".join(texts) + "\n"


def _forgiven(database: ControlDatabase) -> tuple[str, ...]:
    """Without these it goes on for a while, as long as the control database is what is missing: nobody should
    send its customers elsewhere, where it is missing as well."""
    return ("database", "keys", "celery") if database.grace_left_s else ()


def _weak(line: str) -> str:
    return "weak" + line.removeprefix("down") if line.startswith("down") else line


def _public() -> tuple[certificates.Address, ...]:
    regions = process.current().regional.regions.values()
    return certificates.addresses([env.PUBLIC_URL.read(), *(region.address for region in regions)])


_certificates = certificates.Watch(_public)
_billing = billing.Watch()
# Not those that look up keys: however long the database takes for this, no stream waits for it.
_billing_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="billing")
_last: tuple[float, bool, str] | None = None
_lock = asyncio.Lock()


async def _lately() -> tuple[bool, str]:
    global _last
    async with _lock:
        if _last is None or time.monotonic() - _last[0] > KEEP_S:
            ready, text = await report()
            _last = (time.monotonic(), ready, text)
        return _last[1:]


async def healthz(request: HttpRequest) -> HttpResponse:
    ready, text = await _lately()
    return HttpResponse(text, status=200 if ready else 503, content_type="text/plain; charset=utf-8")


async def metrics(request: HttpRequest) -> HttpResponse:
    """For Prometheus: from this machine, or with `Authorization: Bearer METRICS_TOKEN` when one is set."""
    token = env.METRICS_TOKEN.read()
    offered = request.headers.get("Authorization", "").removeprefix("Bearer ")
    by_token = bool(token) and hmac.compare_digest(offered.encode(), token.encode())
    if not by_token and not _from_here(request):
        return HttpResponse("Metrics need the METRICS_TOKEN of this gateway.\n", status=403)
    # What Prometheus is told is what /healthz says.
    await asyncio.gather(_lately(), _ask_billing(), _ask_celery(), _certificates.refresh())
    telemetry.breakers_open.labels("stripe").set(payments.breaker.open)
    _count_workers()
    return HttpResponse(generate_latest(), content_type=CONTENT_TYPE_LATEST)


def _count_workers() -> None:
    states = Counter(heartbeat.state for heartbeat in process.current().link.pool.all())
    for state in WorkerState:
        workers.labels(state.value).set(states[state])


async def _ask_celery() -> None:
    """Its breakers, as it last said itself; what has not been heard of is not known."""
    said: dict[str, int] = {}
    with suppress(RedisError, OSError, ValueError, TypeError, KeyError):
        async with asyncio.timeout(PART_TIMEOUT_S), aioredis.from_url(settings.REDIS_URL) as client:
            said = json.loads(await client.get(CALLBACKS_ALIVE_KEY) or "{}")["breakers"]
    for remote in ("stripe", "callbacks"):
        telemetry.celery_breakers_open.labels(remote).set(said.get(remote, math.nan))


async def _ask_billing() -> None:
    """Without the database the page has the rest, and of billing what was last known."""
    if process.current().database.away:
        return
    try:
        async with asyncio.timeout(PART_TIMEOUT_S):
            await database_sync_to_async(_billing.refresh, thread_sensitive=False, executor=_billing_thread)()
    except Exception as error:
        log.warning("metrics: billing could not be asked: %s", type(error).__name__)


def _from_here(request: HttpRequest) -> bool:
    # A proxy on this machine forwards for others, so whoever comes through one is not from here.
    if env.TRUSTED_PROXY.read() or any(name in request.headers for name in WRITTEN_BY_PROXIES):
        return False
    try:
        return ipaddress.ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False
