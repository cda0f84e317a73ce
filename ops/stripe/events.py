"""What Stripe tells of itself: events with a snapshot (v1) and thin ones (v2). Each becomes a webhook."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from ops.stripe import checks
from ops.stripe.errors import missing
from ops.stripe.store import Object, new_id
from ops.stripe.world import Call, World, created_within, page

API_VERSION = "2026-10-28.endive"
SAMPLES = 10
SAID = {
    "archived_meter": "The meter is not active.",
    "meter_event_customer_not_found": "The customer does not exist.",
    "meter_event_no_customer_defined": "The payload names no customer.",
    "no_meter": "There is no meter with this event name.",
}


def emit(world: World, kind: str, about: Object, call: Call | None = None) -> None:
    """An event with the object as it is now."""
    checks.named(about["object"], about)
    event: Object = {
        "id": new_id("evt"),
        "object": "event",
        "api_version": API_VERSION,
        "created": world.now,
        "data": {"object": about},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {
            "id": call.request_id if call else None,
            "idempotency_key": (call.idempotency_key or None) if call else None,
        },
        "type": kind,
    }
    world.store.put(event)
    _queue(world, event, event)


def emit_thin(world: World, kind: str, about: Object | None, data: Object | None = None) -> None:
    """An event that names its object, and whose data is fetched."""
    event: Object = {
        "id": new_id("evt_test"),
        "object": "v2.core.event",
        "type": kind,
        "livemode": False,
        "created": iso(world.now),
        "context": None,
        "reason": None,
    }
    if about is not None:
        url = f"/v1/billing/meters/{about['id']}"
        event["related_object"] = {"id": about["id"], "type": about["object"], "url": url}
    world.store.put({**event, "data": data or {}})
    _queue(world, event, {name: value for name, value in event.items() if name != "data"})


def _queue(world: World, event: Object, body: Object) -> None:
    world.store.db.execute(
        "insert into deliveries (event, type, body, next_at) values (?, ?, ?, 0)",
        (event["id"], event["type"], json.dumps(body)),
    )


def iso(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def report_rejected(world: World) -> int:
    """Tell of the meter events that were taken and then found wrong: one event a meter, with samples."""
    rows = world.store.db.execute(
        "select n, meter, code, identifier, received from meter_events"
        " where state = 'rejected' and not reported and visible <= ? order by n",
        (world.now,),
    ).fetchall()
    for meter in dict.fromkeys(row["meter"] for row in rows):
        of_meter = [row for row in rows if row["meter"] == meter]
        about = world.store.get("billing.meter", meter) if meter else None
        kind = "error_report_triggered" if about else "no_meter_found"
        emit_thin(world, f"v1.billing.meter.{kind}", about, _report(of_meter))
    world.store.db.executemany(
        "update meter_events set reported = 1 where n = ?", [(row["n"],) for row in rows]
    )
    return len(rows)


def _report(rows: list[Any]) -> Object:
    types = []
    for code in dict.fromkeys(row["code"] for row in rows):
        wrong = [row for row in rows if row["code"] == code]
        samples = [
            {"error_message": SAID.get(code, code), "request": {"identifier": row["identifier"]}}
            for row in wrong[:SAMPLES]
        ]
        types.append({"code": code, "error_count": len(wrong), "sample_errors": samples})
    received = [row["received"] for row in rows]
    return {
        "developer_message_summary": f"There is {len(rows)} invalid event",
        "reason": {"error_count": len(rows), "error_types": types},
        "validation_start": iso(min(received)),
        "validation_end": iso(max(received) + 1),
    }


# ---- reading them


def retrieve(call: Call) -> Object:
    return call.find("event")


def listed(call: Call) -> Object:
    found = created_within(call.store.all("event"), call.params.get("created"))
    wanted = call.params.get("types") or ([call.params["type"]] if "type" in call.params else None)
    return page(call, [one for one in found if wanted is None or one["type"] in wanted])


def retrieve_thin(call: Call) -> Object:
    found = call.store.get("v2.core.event", call.ids["id"])
    if found is None:
        raise missing("event", call.ids["id"])
    return found


def list_thin(call: Call) -> Object:
    found = call.store.all("v2.core.event")
    if wanted := call.params.get("types"):
        found = [one for one in found if one["type"] in wanted]
    if about := call.params.get("object_id"):
        found = [one for one in found if one.get("related_object", {}).get("id") == about]
    return {"data": found[:100], "next_page_url": None, "previous_page_url": None}
