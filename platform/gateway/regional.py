"""What this process knows of all regions, what it tells them of itself, and what follows for its streams.

Everything is read from the control database twice a second, in one statement; once a second this process says
there how many streams it has. While the database is away the last that was read counts: whom residency sends
elsewhere is sent there, and nobody is sent away for want of room that was seen too long ago.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4
from weakref import WeakSet

from channels.db import database_sync_to_async

from faults.pauses import pause_s
from gateway import region_query, region_ticket
from gateway import region_telemetry as telemetry
from gateway.auth import Authenticated
from gateway.region_errors import REFUSED, RegionDraining, RegionElsewhere, RegionForbidden, RegionUnavailable
from gateway.streams import OpenStream, Streams
from regions import selectors, services
from regions.flags import Flags
from regions.routing import Redirect, Refuse, Region, State, route
from regions.selectors import HEARD_WITHIN_S, View
from regions.services import Report
from tenants.access import KeyGrant
from tenants.residency import Where

log = logging.getLogger(__name__)

PULL_EVERY_S = 0.5
REPORT_EVERY_S = 1.0
FRESH_FOR_S = 10.0
HEARD_AGAIN_WITHIN_S = 5.0  # after a database was away for all
LONGEST_PAUSE_S = 2.0
LEAVE_WITHIN_S = 1.0
# Streams that are sent to another region in one turn, so that it is not flooded: 200 a second from here.
MOVES_A_TURN = 100

# Its own, so that no look-up of a key waits for it.
_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="regions")


def exchange(seen: int | None, report: Report | None) -> View:
    if report is not None:
        services.report(report)
    return selectors.view(seen)


async def in_database(seen: int | None, report: Report | None) -> View:
    return await database_sync_to_async(exchange, thread_sensitive=False, executor=_thread)(seen, report)


@dataclass
class Regional:
    here: str
    clock: Callable[[], float] = time.monotonic
    ask: Callable[[int | None, Report | None], Awaitable[View]] = in_database
    id: UUID = field(default_factory=uuid4)
    label: str = field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}")
    regions: Mapping[str, Region] = field(default_factory=dict)
    flags: Flags = field(default_factory=Flags)
    applied: int = 0  # the version of the configuration that is gone by
    _measured: set[str] = field(default_factory=set)
    _seen: int | None = None
    _read_at: float | None = None
    _fresh_from: float = 0.0
    _reported_at: float = 0.0
    _told: int | None = None
    _moved: WeakSet[OpenStream] = field(default_factory=WeakSet)

    # ---- who may be here

    def check(self, scope: Mapping[str, Any], who: Authenticated) -> None:
        """Whether this handshake or request is served here; raises where it is to go, or that it is refused.
        Nothing of a body has been read yet."""
        asked = region_query.read(scope["query_string"])
        found = self._route(who.grant.where, asked.region)
        if isinstance(found, Redirect):
            telemetry.redirects.labels(found.region).inc()
            live = scope["type"] == "websocket"
            raise RegionElsewhere(
                found.region,
                spoken(found.address, live=live),
                region_ticket.rest_of(scope, who),
                by_close=live and asked.redirect == "close",
            )
        if isinstance(found, Refuse) and self._read_at is None:
            raise RegionUnavailable("This gateway has just started, and does not know the regions yet.")
        if isinstance(found, Refuse):
            raise REFUSED[found.code](found.sentence)

    def on(self, flag: str, grant: KeyGrant) -> bool:
        return self.flags.on(flag, region=self.here, tenant=grant.tenant_id)

    def _route(self, where: Where, hint: str = "") -> object:
        fresh = self._read_at is not None and self._fresh_from <= self.clock() < self._read_at + FRESH_FOR_S
        return route(self.regions, here=self.here, where=where, hint=hint, fresh=fresh)

    # ---- what all know of each other

    async def pull_forever(
        self,
        streams: Streams,
        report: Callable[[], tuple[int, int, bool]],
        keys_known_at: Callable[[], float | None],
    ) -> None:
        """`report` gives the room of this process, that of the region's workers, and whether it is stopping;
        `keys_known_at` when the changes of keys were last asked for with success."""
        failures = 0
        while True:
            try:
                await self.pull(streams, report, keys_known_at)
                failures = 0
            except Exception as error:
                failures += 1
                log.warning("cannot read the regions: %s", type(error).__name__)
            pause = pause_s(failures, first_s=PULL_EVERY_S, longest_s=LONGEST_PAUSE_S)
            await asyncio.sleep(pause if failures else PULL_EVERY_S)

    async def pull(
        self,
        streams: Streams,
        report: Callable[[], tuple[int, int, bool]],
        keys_known_at: Callable[[], float | None],
    ) -> None:
        now = self.clock()
        telling = None
        if self._told != self.applied or now - self._reported_at >= REPORT_EVERY_S:
            room, workers_room, draining = report()
            telling = Report(
                self.id, self.here, self.label, len(streams), room, workers_room, draining, self.applied
            )
        view = await self.ask(self._seen, telling)
        if telling is not None:
            self._reported_at, self._told = now, telling.version
        # Plans, limits and residency come with the keys: what was read before they were asked for is in them.
        known_at = keys_known_at()
        if self._read_at is not None and known_at is not None and known_at >= self._read_at:
            self.applied = self._seen or 0
        if self._read_at is not None and self.clock() - self._read_at > HEARD_WITHIN_S:
            # Who first asks a database that is back finds all others silent, and they live.
            self._fresh_from = self.clock() + HEARD_AGAIN_WITHIN_S
        self.regions = view.regions
        self.flags = self.flags if view.flags is None else view.flags
        self._seen, self._read_at = view.version, self.clock()
        self._measure()
        self.sort_out(streams)

    def _measure(self) -> None:
        telemetry.version.set(self.applied)
        # Of one that nobody wrote down nothing is left when its last gateway is silent.
        gone = [Region(name) for name in self._measured - set(self.regions)]
        self._measured = set(self.regions)
        for region in (*self.regions.values(), *gone):
            telemetry.gateways.labels(region.name).set(region.gateways)
            telemetry.active.labels(region.name).set(region.state == State.ACTIVE)
            telemetry.streams.labels(region.name).set(region.streams)
            telemetry.room.labels(region.name).set(region.room)

    async def leave(self) -> None:
        """The last word of a process that stops; without it, it is missed within seconds."""
        with suppress(Exception):
            async with asyncio.timeout(LEAVE_WITHIN_S):
                await database_sync_to_async(services.leave, thread_sensitive=False, executor=_thread)(
                    self.id
                )

    # ---- streams that are open

    def sort_out(self, streams: Streams) -> None:
        """End those that may not be here any more, and while this region takes none, send on those whose
        clients come back. The others finish, unless the region is set to be down."""
        state = self.regions.get(self.here, Region(self.here)).state
        left = MOVES_A_TURN
        for stream in streams.all():
            where = stream.grant.where
            if not where.permits(self.here):
                stream.wind_up(RegionForbidden(f"This one is {self.here}."))
            elif state != State.ACTIVE and left and stream not in self._moved:
                left -= self._send_away(stream, state)

    def _send_away(self, stream: OpenStream, state: str) -> bool:
        """Whether it goes."""
        found = self._route(stream.grant.where)
        if isinstance(found, Redirect) and stream.move_away(spoken(found.address, live=True)):
            telemetry.moved.inc()
        elif state == State.DOWN:
            stream.fail(RegionDraining())
        else:
            return False
        self._moved.add(stream)
        return True


def spoken(address: str, *, live: bool) -> str:
    """`http…` for requests, `ws…` for sockets."""
    return "ws" + address.removeprefix("http") if live else address
