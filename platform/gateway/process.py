"""What a gateway process has once, however many streams it serves: link, key cache, usage emitter."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import cast

from channels.layers import get_channel_layer
from django.conf import settings

from config import env
from gateway import control, outbound, telemetry, valkey
from gateway.admission import Admission
from gateway.auth import Authenticator, Failures, KeyCache
from gateway.callbacks import MAX_BODY_BYTES, MAX_WAITING, Callback
from gateway.control import ControlDatabase
from gateway.door import Door
from gateway.errors import GatewayDraining, Unavailable
from gateway.lane import DEFAULT_LEAD_S
from gateway.link import Link
from gateway.news import News
from gateway.openings import Openings
from gateway.outbound import Outbound
from gateway.parameters import ListenParameters
from gateway.quotas import Account
from gateway.ramp import Pace
from gateway.regional import Regional
from gateway.resume import token
from gateway.resume.errors import ResumeOff, ResumeUnsuitable
from gateway.resume.keeper import Keeper, Resumption
from gateway.resume.records import Records
from gateway.session import WIND_UP_S, Limits
from gateway.streams import Streams
from gateway.tasks import publish
from metering.emit import Emitter
from metering.handover import CeleryBroker, SpooledEmitter
from metering.selectors import processed_ms
from metering.spool import Spool
from regions.flags import RESUME
from tenants import selectors
from tenants.access import KeyGrant
from tenants.services.keys import touch_keys
from wire.mailbox import Layer
from wire.tasks import end

log = logging.getLogger(__name__)

TOUCH_EVERY_S = 30.0
LAST_WORDS_S = 1.0


@dataclass(frozen=True)
class Recovery:
    """How a stream that has lost its worker is brought to another."""

    lead_s: float = DEFAULT_LEAD_S
    move_within_s: float = 10.0


@dataclass
class Process:
    region: str
    link: Link
    streams: Streams
    authenticator: Authenticator
    admission: Door
    usage: Emitter
    callbacks: Emitter
    outbound: Outbound
    limits: Limits
    max_streams: int
    trusted_proxy: bool
    openings: Openings = field(default_factory=Openings)
    recovery: Recovery = field(default_factory=Recovery)
    keeper: Keeper | None = None  # None: no stream can be resumed
    draining: bool = False
    regional: Regional = field(init=False)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.regional = Regional(self.region)

    @property
    def database(self) -> ControlDatabase:
        return self.authenticator.database

    def start(self) -> None:
        """Begin everything. What Redis or PostgreSQL is needed for waits for it and says so in `/healthz`."""
        self.usage.start()
        self.callbacks.start()
        self.admission.start()
        if self.keeper is not None:
            self.keeper.start()
        news = News(self.database, self.authenticator.keys, self.streams)
        self._tasks = [
            asyncio.create_task(self.link.start(), name="start link"),
            asyncio.create_task(news.pull_forever(self._show_usage), name="pull key changes"),
            asyncio.create_task(self._touch_keys_forever(), name="touch keys"),
            asyncio.create_task(
                self.regional.pull_forever(self.streams, self._room, lambda: self.database.current_at),
                name="pull regions",
            ),
        ]

    async def stop(self, within_s: float) -> None:
        """No new streams; those whose clients come back are sent away at once, the others may end by
        themselves within that time and are then told to connect again; what was processed is metered."""
        self.draining = True
        for stream in self.streams.all():
            stream.move_away("")
        await self.streams.all_gone(within_s)
        for stream in self.streams.all():
            stream.wind_up(GatewayDraining())
        await self.streams.all_gone(WIND_UP_S)
        self.streams.fail_all(GatewayDraining())
        await self.streams.all_gone(LAST_WORDS_S)
        await self.admission.stop()
        if self.keeper is not None:
            await self.keeper.stop()
        await self.usage.stop(within_s)
        await self.callbacks.stop(within_s)
        await end(self._tasks)
        await self.regional.leave()
        await self.link.stop()

    def admit(self) -> None:
        """Whether this process may take one more stream, whoever asks."""
        if self.draining:
            raise GatewayDraining()
        if len(self.streams) >= self.max_streams:
            raise Unavailable("This gateway is full.", retry_after_s=2)
        if self.usage.full:
            raise Unavailable("Usage cannot be recorded at the moment.", retry_after_s=10)

    def may_resume(self, parameters: ListenParameters, grant: KeyGrant) -> bool:
        return self.keeper is not None and parameters.resume is not False and self.regional.on(RESUME, grant)

    async def resume(self, parameters: ListenParameters, grant: KeyGrant) -> Resumption | None:
        """What the client comes back to, if it does. Raises the refusal."""
        if not parameters.resume_token:
            return None
        shown = token.read(parameters.resume_token)
        if self.keeper is None or not self.may_resume(parameters, grant):
            raise ResumeOff
        if len(shown.mark.lanes) != parameters.lanes:
            raise ResumeUnsuitable(f"It had {len(shown.mark.lanes)} channels, not {parameters.lanes}.")
        return await self.keeper.claim(shown, grant, parameters.last_seq)

    def give_back(self, resumption: Resumption) -> None:
        if self.keeper is not None:
            self.keeper.give_back(resumption)

    def _room(self) -> tuple[int, int, bool]:
        """Streams that this process would take, those that its region's workers would; whether it stops."""
        own = 0 if self.draining else max(0, self.max_streams - len(self.streams))
        return own, sum(h.capacity - h.active for h in self.link.pool.ready()), self.draining

    def call_back(self, what: Callback) -> None:
        """Have a customer's server told. Never waits."""
        if len(what.body) > MAX_BODY_BYTES:
            telemetry.callbacks_dropped.inc()
            log.error("%s is too large: %d bytes", what, len(what.body))
        else:
            self.callbacks.emit([what])

    def _show_usage(self) -> None:
        telemetry.usage_waiting.set(self.usage.waiting)
        telemetry.usage_spool_bytes.set(self.usage.spooled_bytes)
        telemetry.usage_spool_broken.set(self.usage.broken)

    async def _touch_keys_forever(self) -> None:
        while True:
            await asyncio.sleep(TOUCH_EVERY_S)
            used = self.authenticator.take_used()
            if used:
                try:
                    await self.database.ask(touch_keys, used)
                except Exception as error:
                    log.warning("cannot note the use of keys: %s", type(error).__name__)


async def find_grant(prefix: str) -> KeyGrant | None:
    return await control.current().ask(selectors.find_grant, prefix)


async def recorded_ms(account: Account, since: datetime) -> int:
    """The processed audio of the account in this region, from the usage record."""
    project_id = account.id if account.kind == "project" else None
    return await control.current().ask(
        processed_ms, account.tenant_id, since=since, region=settings.REGION, project_id=project_id
    )


def usage_emitter() -> Emitter:
    """Raises `SpoolError` when there is a folder for usage that cannot be used."""
    folder = env.USAGE_SPOOL_DIR.read()
    if not folder:
        return Emitter(on_lost=telemetry.usage_dropped.inc)
    spool = Spool(Path(folder), env.USAGE_SPOOL_MAX_BYTES.read())
    telemetry.usage_spool_limit_bytes.set(spool.max_bytes)
    return SpooledEmitter(spool, CeleryBroker(), telemetry.usage_dropped.inc)


def keeper(usage: Emitter) -> Keeper:
    window_s = env.RESUME_WINDOW_SECONDS.read()
    records = Records(valkey.client(settings.REDIS_URL), settings.REGION, window_s)
    return Keeper(records, window_s, usage.emit)


@cache
def current() -> Process:
    """The one of this process."""
    layer = cast(Layer, get_channel_layer())
    usage = usage_emitter()
    link = Link(layer, settings.REGION, silent_after_s=env.WORKER_SILENT_SECONDS.read())
    link.pool.pace = Pace(env.OPENING_RAMP_SECONDS.read(), env.OVERLOAD_MS.read())
    keys = KeyCache(find=find_grant, keep_s=env.KEY_CACHE_SECONDS.read())
    return Process(
        region=settings.REGION,
        link=link,
        streams=Streams(keys.remembered),
        authenticator=Authenticator(
            keys,
            Failures(per_minute=env.AUTH_FAILURES_PER_MINUTE.read()),
            control.current(),
        ),
        admission=Admission.at(settings.REDIS_URL, settings.REGION, recorded_ms),
        usage=usage,
        callbacks=Emitter(publish, on_lost=telemetry.callbacks_dropped.inc, limit=MAX_WAITING),
        outbound=outbound.current(),
        limits=Limits(
            idle_s=env.STREAM_IDLE_SECONDS.read(),
            max_s=env.STREAM_MAX_SECONDS.read(),
            window_s=env.STREAM_WINDOW_SECONDS.read(),
            usage_every_s=env.USAGE_EVERY_SECONDS.read(),
        ),
        max_streams=env.GATEWAY_MAX_STREAMS.read(),
        keeper=keeper(usage),
        recovery=Recovery(env.REPLAY_LEAD_SECONDS.read(), env.MOVE_WITHIN_SECONDS.read()),
        trusted_proxy=env.TRUSTED_PROXY.read(),
        openings=Openings(link.pool, env.OPENING_WAIT_SECONDS.read(), env.GATEWAY_MAX_HANDSHAKES.read()),
    )
