"""`/_control/…`: what only a fake can do. JSON in, JSON out, from this machine only."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any

from ops.stripe import billing, faults, invoices, streams
from ops.stripe.api import Answer, Asked
from ops.stripe.errors import Refusal
from ops.stripe.store import Object
from ops.stripe.world import World


def answer(world: World, asked: Asked, webhook: dict[str, str]) -> Answer:
    name = asked.path.removeprefix("/_control/").strip("/")
    if name not in COMMANDS:
        raise Refusal(f"There is no /_control/{name}. There are: {', '.join(COMMANDS)}.", status=404)
    given = streams.parameters(asked.body)
    with world.store.transaction():
        if name == "reset":
            world.store.clear()
            world.store.set("webhook", webhook)
            return Answer(200, {"reset": True})
        try:
            return Answer(200, COMMANDS[name](world, given))
        except (KeyError, IndexError, TypeError, ValueError) as error:
            said = f"/_control/{name}: {type(error).__name__}: {error}. {COMMANDS[name].__doc__ or ''}"
            raise Refusal(said) from None


def clock(world: World, given: Object) -> Object:
    """{} tells; {"advance": seconds}, {"at": time}, {"stand": true}, {"real": true}."""
    store, now = world.store, world.now
    kept = store.setting("clock", {})
    target = now
    if "at" in given:
        at = given["at"]
        target = int(datetime.fromisoformat(at).timestamp()) if isinstance(at, str) else int(at)
    target += int(given.get("advance", 0))
    stands = bool(given.get("stand", "stands_at" in kept))
    if given.get("real"):
        store.set("clock", {})
    elif given:
        ahead = int(kept.get("ahead", 0)) + target - now
        if stands or "stands_at" in kept:
            ahead = target - int(world.real_time())
        store.set("clock", {"stands_at": target} if stands else {"ahead": ahead})
    billing.turn(world)
    return {"now": world.now, "ahead": world.now - int(world.real_time())}


def turn(world: World, given: Object) -> Object:
    """What is due happens now, rather than within half a second."""
    billing.turn(world)
    return {"now": world.now}


def set_faults(world: World, given: Object) -> Object:
    """One fault more; {"clear": true} takes all away and ends delays; {} tells."""
    store = world.store
    if given.get("clear"):
        store.set("faults", [])
        store.set("faults_cleared", store.setting("faults_cleared", 0) + 1)
    elif given:
        store.set("faults", [*store.setting("faults", []), faults.parse(given)])
    return {"faults": store.setting("faults", [])}


def down(world: World, given: Object) -> Object:
    """No connection is answered, for {"seconds": s} or until `up`."""
    until = time.time() + given["seconds"] if "seconds" in given else None
    fault = faults.parse({"kind": "reset", "times": None, "until": until})
    world.store.set("faults", [*world.store.setting("faults", []), fault])
    return {"down": True}


def up(world: World, given: Object) -> Object:
    left = [one for one in world.store.setting("faults", []) if one["kind"] != "reset" or one["times"]]
    world.store.set("faults", left)
    return {"down": False}


def lag(world: World, given: Object) -> Object:
    """{"seconds": s}: how long new meter events take until they are in summaries and invoices."""
    world.store.set("lag", int(given["seconds"]))
    return {"seconds": int(given["seconds"])}


def grace(world: World, given: Object) -> Object:
    """{"seconds": s}: how long an invoice stays a draft, and takes late usage of its period."""
    world.store.set("grace", int(given["seconds"]))
    return {"seconds": int(given["seconds"])}


def limit(world: World, given: Object) -> Object:
    """{"per_second": n}; 0: none."""
    world.store.set("limit", int(given["per_second"]))
    return {"per_second": int(given["per_second"])}


def reject(world: World, given: Object) -> Object:
    """The next {"times": n} good meter events are taken and rejected later, with {"code": …}."""
    wanted = {
        "times": int(given.get("times", 1)),
        "code": given.get("code", "meter_event_customer_not_found"),
    }
    world.store.set("reject_next", wanted)
    return wanted


def received(world: World, given: Object) -> Object:
    """Every meter event there is, and what they add up to; {"customer": …}, {"event_name": …} narrow it."""
    rows = world.store.db.execute("select * from meter_events order by n").fetchall()
    wanted = [row for row in rows if all(row[name] == value for name, value in given.items())]
    totals: Counter[tuple[str, str]] = Counter()
    for row in wanted:
        if row["state"] == "taken":
            totals[row["customer"], row["event_name"]] += row["value"]
    names = ("identifier", "event_name", "customer", "value", "timestamp", "received", "state", "code")
    return {
        "events": [{name: row[name] for name in names} for row in wanted],
        "totals": [
            {"customer": customer, "event_name": name, "value": value}
            for (customer, name), value in sorted(totals.items())
        ],
    }


def payments(world: World, given: Object) -> Object:
    """{"outcome": "succeed" or "fail"} for all or one {"customer": …}; {"outcome": null}: as the card is."""
    told: Object = world.store.setting("payments", {})
    told[given.get("customer", "*")] = given.get("outcome")
    world.store.set("payments", told)
    return told


def invoice(world: World, given: Object) -> Object:
    """One for {"subscription": …} or {"customer": …} now, of its period so far, or of [start, end); the
    period goes on. {"finalise": true} does not wait for the hour."""
    store = world.store
    there = store.all("subscription")
    wanted = [
        o for o in there if given.get("subscription") == o["id"] or given.get("customer") == o["customer"]
    ]
    if not wanted:
        raise Refusal("There is no such subscription, and no customer who has one.")
    item = wanted[0]["items"]["data"][0]
    start, end = given.get("start", item["current_period_start"]), given.get("end", world.now)
    made = invoices.draft(world, wanted[0], start, end, "manual")
    return invoices.finalise(world, made) if given.get("finalise") else made


def broken(world: World, given: Object) -> Object:
    """Answers that Stripe's document did not allow: there should be none."""
    return {"broken": world.store.setting("broken", [])}


def webhook(world: World, given: Object) -> Object:
    """{"url": …, "secret": …} sets, {"held": true} keeps all back, {"held": false} lets go."""
    kept = {**world.store.setting("webhook", {}), **given}
    world.store.set("webhook", kept)
    return {"url": kept.get("url"), "held": kept.get("held", False)}


def deliveries(world: World, given: Object) -> Object:
    """What was and is to be sent. {"again": n} sends the last n a second time, {"reversed": true} turns the
    order of what waits around, {"now": true} waits no longer for the next attempt."""
    db = world.store.db
    if "again" in given:
        db.execute(
            "insert into deliveries (event, type, body, next_at) select event, type, body, 0 from"
            " (select * from deliveries order by n desc limit ?) order by n", (int(given["again"]),),
        )  # fmt: skip
    if given.get("reversed"):
        waiting = db.execute("select n from deliveries where not done order by n").fetchall()
        first = db.execute("select coalesce(max(n), 0) as last from deliveries").fetchone()["last"] + 1
        for place, row in enumerate(reversed(waiting)):
            db.execute("update deliveries set n = ? where n = ?", (first + place, row["n"]))
    if given.get("now"):
        db.execute("update deliveries set next_at = 0 where not done")
    rows = db.execute("select n, event, type, attempts, status, done from deliveries order by n").fetchall()
    return {"deliveries": [dict(row) for row in rows]}


COMMANDS: dict[str, Callable[[World, dict[str, Any]], Object]] = {
    "reset": turn,
    "clock": clock,
    "turn": turn,
    "faults": set_faults,
    "down": down,
    "up": up,
    "lag": lag,
    "grace": grace,
    "limit": limit,
    "reject": reject,
    "received": received,
    "payments": payments,
    "invoice": invoice,
    "broken": broken,
    "webhook": webhook,
    "deliveries": deliveries,
}
