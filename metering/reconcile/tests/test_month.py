"""A month of several tenants, as it goes: events late, twice, out of order, lost; a worker's log that comes
after the books were closed. In the end ledger, invoice and Stripe say what a few lines here make of the raw
streams, which know nothing of how the rest reckons."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from psycopg.types.json import Jsonb

from metering import outbox, reconcile, services
from metering.events import UsageEvent
from metering.invoices import finalise
from metering.ledger.accounts import account_of, change
from metering.ledger.post import post_due
from metering.ledger.verify import verify
from metering.models import LedgerEntry
from metering.payments import deliver, summaries, sync
from metering.plans import create_version
from metering.reconcile.tests.book import noted
from tenants import services as tenants
from tenants.scope import staff_scope

SEED = 20260301
MARCH, APRIL, MAY = (datetime(2026, month, 1, tzinfo=UTC) for month in (3, 4, 5))
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
CHANGED_PRICE = datetime(2026, 3, 16, 12, tzinfo=UTC)  # of the plan `small`
CHANGED_PLAN = datetime(2026, 3, 20, 9, tzinfo=UTC)  # rival goes from small to large
ZONES = {"acme": "UTC", "rival": "Europe/Berlin", "third": "America/New_York"}
# Of each plan from when on: kind, included ms, tiers of (up to ms, price of a minute).
PRICES: dict[str, list[tuple[datetime, dict[str, tuple[int, list[tuple[int | None, str]]]]]]] = {
    "small": [
        (MARCH - 40 * DAY, {"": (60_000, [(1_000_003, "0.77"), (None, "0.41")])}),
        (CHANGED_PRICE, {"": (0, [(None, "0.83")]), "recorded": (0, [(None, "0.37")])}),
    ],
    "large": [(MARCH - 40 * DAY, {"": (7, [(500_001, "0.5"), (2_000_000, "0.3"), (None, "0.1111111111")])})],
}


@dataclass(frozen=True)
class Piece:
    """Audio that was processed at a moment. The raw truth."""

    from_ms: int
    to_ms: int
    at: datetime


@dataclass
class Stream:
    tenant: str
    name: str
    kind: str
    pieces: list[Piece]
    charged_in_april: bool = False  # its log came when March was over
    too_much: list[Piece] = field(default_factory=list)  # what the gateway said and no worker did


# ---- what was, and what it costs: nothing of metering is used here


def raw_streams(rng: random.Random) -> Iterator[Stream]:
    for tenant in ZONES:
        for day in range(-1, 32):
            for number in range(2):
                at = MARCH + day * DAY + timedelta(seconds=rng.randrange(86_400))
                yield one_stream(rng, tenant, f"{tenant}-{day}-{number}", at)
        for name, moment in (("price", CHANGED_PRICE), ("plan", CHANGED_PLAN), ("end", APRIL)):
            yield one_stream(rng, tenant, f"{tenant}-{name}", moment - timedelta(seconds=20))
        midnight = datetime(2026, 4, 1, tzinfo=ZoneInfo(ZONES[tenant])).astimezone(UTC)
        yield one_stream(rng, tenant, f"{tenant}-turn", midnight - timedelta(seconds=17))


def one_stream(rng: random.Random, tenant: str, name: str, at: datetime) -> Stream:
    pieces, end = [], 0
    for _ in range(rng.randrange(3, 12)):
        length = rng.randrange(1, 9000)
        at += timedelta(milliseconds=length)
        pieces.append(Piece(end, end + length, at))
        end += length
    return Stream(tenant, name, rng.choice(["live", "recorded"]), pieces)


def plan_of(tenant: str, at: datetime) -> str:
    if tenant == "rival":
        return "small" if at < CHANGED_PLAN else "large"
    return {"acme": "small", "third": "large"}[tenant]


def bill(streams: list[Stream], tenant: str, year: int, month: int) -> tuple[int, Fraction]:
    """Milliseconds and exact money of the customer's own month, each price line rounded to a millionth."""
    used: dict[tuple[str, int, str], int] = defaultdict(int)
    total = 0
    for stream in streams:
        for piece in stream.pieces if stream.tenant == tenant else ():
            here = piece.at.astimezone(ZoneInfo(ZONES[tenant]))
            when = (2026, 4) if stream.charged_in_april else (here.year, here.month)
            if when != (year, month):
                continue
            plan = plan_of(tenant, piece.at)
            number = max(n for n, (begins, _) in enumerate(PRICES[plan]) if begins <= piece.at)
            lines = PRICES[plan][number][1]
            used[plan, number, stream.kind if stream.kind in lines else ""] += piece.to_ms - piece.from_ms
            total += piece.to_ms - piece.from_ms
    money = Fraction(0)
    for (plan, number, kind), ms in used.items():
        included, tiers = PRICES[plan][number][1][kind]
        left, before, cost = max(0, ms - included), 0, Fraction(0)
        for up_to, price in tiers:
            within = left if up_to is None else min(left, up_to - before)
            cost += Fraction(within, 60_000) * Fraction(price)
            left, before = left - within, before if up_to is None else up_to
        money += half_up(cost, 1_000_000)
    return total, money


def half_up(value: Fraction, parts: int) -> Fraction:
    return Fraction((value * parts + Fraction(1, 2)).__floor__(), parts)


# ---- what happens to it on the way


@dataclass(frozen=True)
class Told:
    """An event of the gateway, and when it arrives."""

    stream: Stream
    piece: Piece
    arrives: datetime


def on_the_way(rng: random.Random, streams: list[Stream]) -> list[Told]:
    found: list[Told] = []
    for number, stream in enumerate(streams):
        if number % 17 == 5 and stream.pieces[-1].at < APRIL - 3 * DAY:
            last = stream.pieces[-1]
            stream.too_much.append(Piece(last.to_ms, last.to_ms + rng.randrange(1, 5000), last.at))
        told = stream.pieces + stream.too_much
        if stream.charged_in_april or number % 23 == 7:  # the gateway died, and its disk with it
            continue
        for place, piece in enumerate(told):
            fate = rng.random()
            if fate < 0.1 and piece not in stream.too_much:
                continue  # lost
            late = timedelta(seconds=rng.randrange(1, 60))
            if fate > 0.9:
                late += timedelta(hours=rng.randrange(1, 90))
            found.append(Told(stream, piece, piece.at + late))
            if fate > 0.6:  # it comes again, perhaps as part of a longer one
                first = told[max(0, place - 1)]
                same_hour = first.at > piece.at - timedelta(seconds=30) and first.at.hour == piece.at.hour
                again = replace(piece, from_ms=first.from_ms) if same_hour and fate < 0.75 else piece
                if crosses(stream, first.at, piece.at):
                    again = piece
                found.append(Told(stream, again, piece.at + late + timedelta(hours=rng.randrange(0, 40))))
    return sorted(found, key=lambda one: one.arrives)


def crosses(stream: Stream, start: datetime, end: datetime) -> bool:
    """Whether a price changes between: then who says an event also says at which price."""
    edges = [CHANGED_PRICE, CHANGED_PLAN]
    edges += [datetime(2026, m, 1, tzinfo=ZoneInfo(ZONES[stream.tenant])).astimezone(UTC) for m in (3, 4)]
    return any(start <= edge + DAY and edge - DAY <= end for edge in edges)


# ---- the month


class World:
    def __init__(self, stripe: Any, monkeypatch: pytest.MonkeyPatch, houses: dict[str, Any]) -> None:
        self.stripe, self.houses, self.now = stripe, houses, MARCH - 2 * DAY
        self.rng, self.plans = random.Random(SEED), dict[str, Any]()
        monkeypatch.setattr("django.utils.timezone.now", lambda: self.now)

    def go(self, now: datetime) -> None:
        self.now = now
        self.stripe.control("clock", at=now.isoformat(), stand=True)

    def arrive(self, told: list[Told]) -> None:
        services.record([self.event(one) for one in told])

    def arrive_until(self, told: list[Told], moment: datetime) -> None:
        """Hour by hour, shuffled, in batches that know no tenant."""
        while told and told[0].arrives <= moment:
            upto = min(moment, told[0].arrives + 6 * HOUR)
            due = [one for one in told if one.arrives <= upto]
            del told[: len(due)]
            self.go(max(self.now, upto))
            self.rng.shuffle(due)
            self.arrive(due)
            post_due()

    def event(self, told: Told) -> UsageEvent:
        house, piece = self.houses[told.stream.tenant], told.piece
        return UsageEvent(
            str(house.tenant.id), str(house.project.id), str(house.key.id), told.stream.name,
            piece.from_ms, piece.to_ms, "m", "local", "worker.one", ("a",), told.stream.kind,
            piece.at.isoformat(),
        )  # fmt: skip

    def ship(self, streams: list[Stream], since: datetime, until: datetime) -> None:
        """A file of the worker's log: what it did from then to then."""
        records = []
        for stream in streams:
            house = self.houses[stream.tenant]
            ranges = [
                (one.from_ms, one.to_ms, one.at, False) for one in stream.pieces if since <= one.at < until
            ]
            last = stream.pieces[-1]
            if since <= last.at < until:
                ranges.append((last.to_ms, last.to_ms, last.at, True))
            for start, end, at, settled in ranges:
                records.append({
                    "seq": len(records) + 1, "tenant": str(house.tenant.id), "project": str(house.project.id),
                    "key": str(house.key.id), "stream": stream.name, "epoch": 1, "from_ms": start,
                    "to_ms": end, "settled": settled, "kind": stream.kind, "model": "m", "tags": ["a"],
                    "processed_at": at.isoformat(),
                })  # fmt: skip
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT metering_ship(%s, 'worker.one', 'local', %s, true, %s)",
                [uuid4(), until, Jsonb(records)],
            )

    def close_of_day(self) -> None:
        while post_due():
            pass
        outbox.fill(now=self.now)
        deliver.deliver_due(now=self.now)


@pytest.fixture
def world(local_stripe: Any, monkeypatch: pytest.MonkeyPatch, acme: Any, rival: Any) -> World:
    monkeypatch.setenv("STRIPE_API_KEY", local_stripe.api_key)
    monkeypatch.setenv("STRIPE_API_BASE", local_stripe.url)
    monkeypatch.setattr(deliver.turns(), "take", lambda: None)
    tenant = tenants.create_tenant("Third", "third")
    project = tenants.create_project(tenant, "Calls")
    key, secret = tenants.issue_key(project, name="Server")
    third = type(acme)(tenant, None, project, key, secret)
    world = World(local_stripe, monkeypatch, {"acme": acme, "rival": rival, "third": third})
    plans = {slug: tenants.create_plan(slug.title(), slug) for slug in PRICES}
    world.go(MARCH - 41 * DAY)
    for slug, versions in PRICES.items():
        create_version(plans[slug], versions[0][0], "USD", lines_of(versions[0][1]))
    world.go(MARCH - 20 * DAY)
    for slug, house in world.houses.items():
        tenants.set_plan(house.tenant, plans[plan_of(slug, MARCH)])
        change(house.tenant.id, actor=None, time_zone=ZONES[slug])
    sync.Sync().tenants([house.tenant for house in world.houses.values()])
    world.plans = plans
    return world


def lines_of(lines: dict[str, tuple[int, list[tuple[int | None, str]]]]) -> list[dict[str, Any]]:
    return [
        {
            "label": kind or "Audio", "model": "", "kind": kind, "region": "", "included_ms": included,
            "tiers": [{"up_to_ms": up_to, "per_minute": price} for up_to, price in tiers],
        }
        for kind, (included, tiers) in lines.items()
    ]  # fmt: skip


@pytest.mark.timeout(300)
def test_a_month(world: World) -> None:
    rng = random.Random(SEED)
    streams = sorted(raw_streams(rng), key=lambda one: one.pieces[0].at)
    # A machine that was away from the 30th on: what it did is known when March is invoiced.
    away = [one for one in streams if one.name.endswith("-29-1")]
    for stream in away:
        stream.charged_in_april = True
    told = on_the_way(rng, streams)
    day = MARCH - 2 * DAY
    while day < APRIL + 4 * DAY:
        for moment, act in (
            (CHANGED_PRICE, lambda: create_version(
                world.plans["small"], CHANGED_PRICE, "USD", lines_of(PRICES["small"][1][1]))),
            (CHANGED_PLAN, lambda: tenants.set_plan(world.houses["rival"].tenant, world.plans["large"])),
        ):  # fmt: skip
            if day <= moment < day + DAY:
                early = HOUR if moment == CHANGED_PRICE else timedelta(0)
                world.arrive_until(told, moment - early)
                world.go(moment - early)
                act()
        world.arrive_until(told, day + DAY)
        world.go(day + DAY)
        world.ship([one for one in streams if one not in away], day, day + DAY)
        world.close_of_day()
        world.go(day + DAY + 3 * HOUR)
        world.close_of_day()
        reconcile.run(world.now.date() - DAY)
        world.close_of_day()
        if world.now.date() == date(2026, 4, 4):
            for house in world.houses.values():
                for first_day in (date(2026, 2, 1), MARCH.date()):
                    finalise(house.tenant.id, first_day, world.now)
        day += DAY
    world.ship(away, MARCH, world.now)
    reconcile.run(date(2026, 3, 30))
    world.go(world.now + 2 * HOUR)
    world.close_of_day()
    run = reconcile.run(date(2026, 3, 30), now=world.now + 2 * HOUR)
    assert run.summary["differences"] == 0
    check(world, streams)


def check(world: World, streams: list[Stream]) -> None:
    assert {one.kind for one in noted()} >= {"lost", "double"}
    assert [(str(one), one.action, one.detail) for one in noted(open=True)] == []
    for slug, house in world.houses.items():
        tenant = house.tenant.id
        assert verify(tenant) == []
        with staff_scope():
            entries = list(LedgerEntry.objects.filter(tenant_id=tenant))
        for month, begins, ends in ((3, MARCH, APRIL), (4, APRIL, MAY)):
            ms, money = bill(streams, slug, 2026, month)
            its = [one for one in entries if one.period == begins.date()]
            assert (sum(one.ms for one in its), Fraction(sum(one.amount for one in its))) == (ms, money)
            account = account_of(tenant)
            assert summaries.totals(account, "ms", begins, ends) == ms
            assert summaries.totals(account, "amount", begins, ends) == money * 1_000_000
            assert ms > 0
        ms, money = bill(streams, slug, 2026, 3)
        invoice = finalise(tenant, MARCH.date(), world.now)  # the one that there is
        assert (invoice.ms, Fraction(invoice.total)) == (ms, half_up(money, 100))
