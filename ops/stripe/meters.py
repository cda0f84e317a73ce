"""Billing meters, and what they add up to."""

from __future__ import annotations

from ops.stripe import events
from ops.stripe.errors import Refusal
from ops.stripe.store import Object, Store, new_id
from ops.stripe.world import Call, page

WINDOWS = {"hour": 3600, "day": 86400}


def create(call: Call) -> Object:
    given = call.params
    if any(one["event_name"] == given["event_name"] and one["status"] == "active" for one in _all(call)):
        raise Refusal(
            f"An active meter already exists with event name {given['event_name']}.", param="event_name"
        )
    meter: Object = {
        "id": new_id("mtr_test", 24),
        "object": "billing.meter",
        "created": call.now,
        "updated": call.now,
        "livemode": False,
        "display_name": given["display_name"],
        "event_name": given["event_name"],
        "event_time_window": given.get("event_time_window"),
        "customer_mapping": given.get(
            "customer_mapping", {"event_payload_key": "stripe_customer_id", "type": "by_id"}
        ),
        "default_aggregation": given["default_aggregation"],
        "value_settings": given.get("value_settings", {"event_payload_key": "value"}),
        "status": "active",
        "status_transitions": {"deactivated_at": None},
    }
    call.store.put(meter)
    events.emit_thin(call.world, "v1.billing.meter.created", meter)
    return meter


def retrieve(call: Call) -> Object:
    return call.find("billing.meter")


def update(call: Call) -> Object:
    """Its display name alone: the rest of a meter never changes."""
    meter = call.find("billing.meter")
    meter["display_name"] = call.params.get("display_name", meter["display_name"])
    return _changed(call, meter, "v1.billing.meter.updated")


def deactivate(call: Call) -> Object:
    meter = call.find("billing.meter")
    if meter["status"] == "inactive":
        raise Refusal("The meter is already inactive.")
    meter.update(status="inactive", status_transitions={"deactivated_at": call.now})
    return _changed(call, meter, "v1.billing.meter.deactivated")


def reactivate(call: Call) -> Object:
    meter = call.find("billing.meter")
    if meter["status"] == "active":
        raise Refusal("The meter is already active.")
    if any(one["event_name"] == meter["event_name"] and one["status"] == "active" for one in _all(call)):
        raise Refusal(f"An active meter already exists with event name {meter['event_name']}.")
    meter.update(status="active", status_transitions={"deactivated_at": None})
    return _changed(call, meter, "v1.billing.meter.reactivated")


def listed(call: Call) -> Object:
    wanted = call.params.get("status")
    return page(call, [one for one in _all(call) if wanted in (None, one["status"])])


def _all(call: Call) -> list[Object]:
    return call.store.all("billing.meter")


def _changed(call: Call, meter: Object, event: str) -> Object:
    meter["updated"] = call.now
    call.store.put(meter)
    events.emit_thin(call.world, event, meter)
    return meter


# ---- summaries


def summaries(call: Call) -> Object:
    meter, given = call.find("billing.meter"), call.params
    start, end, window = given["start_time"], given["end_time"], given.get("value_grouping_window")
    step = WINDOWS.get(window or "", 60)
    for name in ("start_time", "end_time"):
        if given[name] % step:
            raise Refusal(f"{name} must be aligned with {window or 'minute'} boundaries.", param=name)
    if end <= start:
        raise Refusal("end_time must be after start_time.", param="end_time")
    if call.store.get("customer", given["customer"]) is None:
        raise Refusal(f"No such customer: '{given['customer']}'", code="resource_missing", param="customer")
    spans = [(start, end)] if window is None else _spans(call, meter, step)
    found = []
    for since, until in sorted(spans, reverse=True):
        found.append(
            {
                "id": f"mtrsum_test_{meter['id'][-8:]}{given['customer'][-8:]}{since}x{until}",
                "object": "billing.meter_event_summary",
                "aggregated_value": total(call.store, meter, given["customer"], since, until, call.now),
                "start_time": since,
                "end_time": until,
                "livemode": False,
                "meter": meter["id"],
            }
        )
    return page(call, found)


def _spans(call: Call, meter: Object, step: int) -> list[tuple[int, int]]:
    """The windows in which there is something."""
    given = call.params
    rows = call.store.db.execute(
        "select distinct timestamp / ? as window from meter_events where meter = ? and customer = ?"
        " and state = 'taken' and visible <= ? and timestamp >= ? and timestamp < ?",
        (step, meter["id"], given["customer"], call.now, given["start_time"], given["end_time"]),
    )
    return [(row["window"] * step, (row["window"] + 1) * step) for row in rows]


def total(store: Store, meter: Object, customer: str, start: int, end: int, seen_at: int) -> int:
    """What the meter says of `[start, end)` at `seen_at`, without events that are not aggregated yet."""
    rows = store.db.execute(
        "select value from meter_events where meter = ? and customer = ? and state = 'taken'"
        " and timestamp >= ? and timestamp < ? and visible <= ? order by timestamp, n",
        (meter["id"], customer, start, end, seen_at),
    )
    values = [row["value"] for row in rows]
    formula = meter["default_aggregation"]["formula"]
    if formula == "count":
        return len(values)
    if formula == "last":
        return values[-1] if values else 0
    return sum(values)
