"""What a gateway makes of what is known of all regions: no database, and a clock by hand."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from prometheus_client import REGISTRY

from gateway.auth import Authenticated
from gateway.errors import BadParameter, GatewayError
from gateway.region_errors import RegionElsewhere, RegionForbidden, RegionUnavailable, RegionUnknown
from gateway.regional import FRESH_FOR_S, HEARD_AGAIN_WITHIN_S, MOVES_A_TURN, Regional
from gateway.streams import Streams
from gateway.tests.doors import grant
from regions import flags
from regions.flags import RECORDED, Setting
from regions.routing import Region, State
from regions.selectors import HEARD_WITHIN_S, View
from regions.services import Report
from tenants.access import KeyGrant
from tenants.residency import Where

EU = Region("eu", "https://eu.example.com", gateways=1, reported_room=9)
US = Region("us", "http://127.0.0.1:8002", gateways=1, reported_room=9)
EU_ONLY = Where("eu", frozenset({"eu"}))


@dataclass(eq=False)
class One:
    grant: KeyGrant
    comes_back: bool = False
    failed: list[str] = field(default_factory=list)
    wound_up: list[str] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)

    def fail(self, error: GatewayError) -> None:
        self.failed.append(error.code)

    def wind_up(self, error: GatewayError) -> bool:
        self.wound_up.append(error.code)
        return True

    def move_away(self, address: str) -> bool:
        if self.comes_back:
            self.moved.append(address)
        return self.comes_back


class World:
    """The control database, and a gateway of `here` that looks at it."""

    def __init__(self, here: str, *regions: Region) -> None:
        self.view = View(1, {region.name: region for region in regions}, flags.Flags())
        self.now = 100.0
        self.reports: list[Report] = []
        self.away = False
        self.keys_known_at: float | None = None
        self.streams = Streams()
        self.gateway = Regional(here, clock=lambda: self.now, ask=self.ask)

    async def ask(self, seen: int | None, report: Report | None) -> View:
        if self.away:
            raise ConnectionError
        if report is not None:
            self.reports.append(report)
        return self.view if seen != self.view.version else replace(self.view, flags=None)

    async def pull(self) -> None:
        self.now += 0.5
        await self.gateway.pull(self.streams, lambda: (7, 50, False), lambda: self.keys_known_at)

    def add(self, *streams: One) -> None:
        for stream in streams:
            self.streams.add(stream)

    def set(self, name: str, **how: Any) -> None:
        region = replace(self.view.regions[name], **how)
        self.view = View(self.view.version + 1, {**self.view.regions, name: region}, flags.Flags())


def asks(query: bytes = b"", kind: str = "websocket") -> dict[str, Any]:
    return {"type": kind, "path": "/v1/listen", "query_string": query}


def who(**changes: Any) -> Authenticated:
    # By a token, so that it is given no other one.
    return Authenticated(grant(**changes), None, by_token=True)


async def test_who_may_be_here_is_served_and_who_may_not_is_sent_on() -> None:
    world = World("us", EU, US)
    await world.pull()
    world.gateway.check(asks(), who())
    with pytest.raises(RegionElsewhere) as sent:
        world.gateway.check(asks(b"model=nova-3&keyterm=a%20b"), who(where=EU_ONLY))
    assert (sent.value.status, sent.value.close_code, sent.value.by_close) == (307, 4307, False)
    assert sent.value.headers == {
        "location": "wss://eu.example.com/v1/listen?model=nova-3&keyterm=a%20b",
        "stenogate-region": "eu",
    }
    assert sent.value.more == {"region": "eu", "address": "wss://eu.example.com"}
    with pytest.raises(RegionElsewhere) as sent:
        world.gateway.check(asks(b"redirect=close"), who(where=EU_ONLY))
    assert (sent.value.address, sent.value.by_close) == ("wss://eu.example.com", True)
    with pytest.raises(RegionElsewhere) as sent:
        world.gateway.check(asks(b"redirect=close", "http"), who(where=EU_ONLY))
    assert sent.value.headers["location"] == "https://eu.example.com/v1/listen?redirect=close"
    assert not sent.value.by_close
    world = World("eu", EU, US)
    await world.pull()
    with pytest.raises(RegionElsewhere) as sent:
        world.gateway.check(asks(b"region=us"), who())
    assert sent.value.headers["location"] == "ws://127.0.0.1:8002/v1/listen?region=us"


async def test_who_may_be_nowhere_is_refused_by_name() -> None:
    world = World("us", replace(EU, state=State.DOWN), US)
    await world.pull()
    with pytest.raises(RegionUnavailable, match="eu is down"):
        world.gateway.check(asks(), who(where=EU_ONLY))
    with pytest.raises(RegionForbidden):
        world.gateway.check(asks(b"region=us"), who(where=EU_ONLY))
    with pytest.raises(RegionUnknown):
        world.gateway.check(asks(b"region=mars"), who())
    with pytest.raises(BadParameter):
        world.gateway.check(asks(b"region=M%41RS"), who())


async def test_with_nothing_known_it_serves_who_may_be_anywhere_or_here() -> None:
    world = World("local")
    for refusal in (RegionUnavailable, RegionForbidden):  # before anything has been read, and after
        world.gateway.check(asks(), who())
        world.gateway.check(asks(), who(where=Where("local", frozenset({"local"}))))
        with pytest.raises(refusal):
            world.gateway.check(asks(), who(where=EU_ONLY))
        await world.pull()


async def test_while_the_database_is_away_the_last_that_was_read_counts() -> None:
    world = World("us", replace(EU, gateways=0), US)
    await world.pull()
    with pytest.raises(RegionUnavailable):
        world.gateway.check(asks(), who(where=EU_ONLY))
    world.away = True
    world.now += FRESH_FOR_S
    with pytest.raises(ConnectionError):
        await world.pull()
    with pytest.raises(RegionElsewhere):
        world.gateway.check(asks(), who(where=EU_ONLY))


async def test_who_first_asks_a_database_that_is_back_does_not_take_the_others_for_dead() -> None:
    world = World("us", EU, US)
    await world.pull()
    world.now += HEARD_WITHIN_S
    world.set("eu", gateways=0)
    await world.pull()
    with pytest.raises(RegionElsewhere):
        world.gateway.check(asks(), who(where=EU_ONLY))
    for _ in range(int(2 * HEARD_AGAIN_WITHIN_S)):
        await world.pull()
    with pytest.raises(RegionUnavailable, match="eu does not answer"):
        world.gateway.check(asks(), who(where=EU_ONLY))


async def test_it_reports_once_a_second_and_what_it_goes_by_at_once() -> None:
    world = World("eu", EU)
    await world.pull()
    (first,) = world.reports
    assert (first.region, first.streams, first.room, first.workers_room, first.draining, first.version) == (
        "eu", 0, 7, 50, False, 0,
    )  # fmt: skip
    await world.pull()
    assert len(world.reports) == 1
    await world.pull()
    assert [report.version for report in world.reports] == [0, 0]  # nothing is known of keys yet
    world.keys_known_at = world.now + 0.1
    await world.pull()
    await world.pull()
    assert [report.version for report in world.reports] == [0, 0, 1]
    world.set("eu", capacity=5)
    await world.pull()
    await world.pull()
    assert world.gateway.applied == 1  # what was changed with keys may not have been read since
    world.keys_known_at = world.now
    await world.pull()
    assert world.gateway.applied == 2


async def test_flags_are_kept_until_something_changes() -> None:
    world, anybody = World("eu", EU), grant()
    world.view = replace(world.view, flags=flags.flags([Setting(RECORDED, "eu", None, False)]))
    await world.pull()
    await world.pull()
    assert not world.gateway.on(RECORDED, anybody)
    world.set("eu", zone="europe")
    await world.pull()
    assert world.gateway.on(RECORDED, anybody)


async def test_a_tenant_that_was_moved_away_is_wound_up_and_nobody_else() -> None:
    world = World("us", EU, US)
    gone, other = One(grant(where=EU_ONLY)), One(grant())
    world.add(gone, other)
    await world.pull()
    assert gone.wound_up == ["region_forbidden"]
    assert (other.wound_up, other.failed, gone.failed) == ([], [], [])


async def test_a_draining_region_sends_on_who_comes_back_and_lets_the_others_finish() -> None:
    world = World("eu", EU, US)
    back, stays = One(grant(), comes_back=True), One(grant())
    bound = One(grant(where=EU_ONLY), comes_back=True)
    world.add(back, stays, bound)
    await world.pull()
    assert back.moved == []
    world.set("eu", state=State.DRAINING)
    await world.pull()
    await world.pull()
    assert back.moved == ["ws://127.0.0.1:8002"]  # asked once
    assert (stays.failed, stays.wound_up) == ([], [])
    assert (bound.moved, bound.failed) == ([], [])  # there is nowhere for it to go


async def test_a_region_that_is_down_ends_those_that_cannot_be_sent_on() -> None:
    world = World("eu", EU, US)
    back, other = One(grant(), comes_back=True), One(grant())
    world.add(back, other)
    world.set("eu", state=State.DOWN)
    await world.pull()
    await world.pull()
    assert (back.moved, back.failed) == (["ws://127.0.0.1:8002"], [])
    assert (other.moved, other.failed) == ([], ["region_draining"])


async def test_not_all_are_sent_on_at_once() -> None:
    world = World("eu", EU, US)
    many = [One(grant(), comes_back=True) for _ in range(MOVES_A_TURN + 5)]
    world.add(*many)
    world.set("eu", state=State.DRAINING)
    await world.pull()
    assert sum(len(one.moved) for one in many) == MOVES_A_TURN
    await world.pull()
    assert [len(one.moved) for one in many] == [1] * len(many)


async def test_of_a_region_that_is_gone_no_gateway_is_counted_any_more() -> None:
    def counted(name: str) -> float | None:
        return REGISTRY.get_sample_value("stenogate_gateway_region_gateways", {"region": name})

    world = World("eu", EU, replace(US, name="nobody-added"))
    await world.pull()
    assert (counted("eu"), counted("nobody-added")) == (1, 1)
    world.view = replace(world.view, regions={"eu": EU})
    await world.pull()
    assert (counted("eu"), counted("nobody-added")) == (1, 0)
