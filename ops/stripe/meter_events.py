"""Meter events: taken at once, validated and aggregated later."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from ops.stripe.errors import Refusal
from ops.stripe.store import Object, Store, new_id
from ops.stripe.world import Call

# Stripe promises to know an identifier for "at least" this long; this one forgets it as early as it may.
KNOWN_FOR_S = 24 * 3600
PAST_S, FUTURE_S = 35 * 86400, 5 * 60
MAX_DIGITS = 15
INTEGER = re.compile(r"-?\d+\Z")


def create(call: Call) -> Object:
    return take(call, call.params)


def take(call: Call, given: dict[str, Any]) -> Object:
    identifier = given.get("identifier") or new_id("mev", 32)
    now = call.now
    timestamp = given.get("timestamp", now)
    if timestamp < now - PAST_S:
        raise _refused(
            "Timestamp is more than 35 days in the past.", "timestamp_too_far_in_past", "timestamp"
        )
    if timestamp > now + FUTURE_S:
        raise _refused("Timestamp is more than 5 minutes in the future.", "timestamp_in_future", "timestamp")
    meter = _meter(call.store, given["event_name"])
    value = _value(given["payload"], meter)
    if _known(call.store, identifier, now):
        raise _refused(f"An event already exists with identifier {identifier}.", "", "identifier")
    customer, code = _late(call, given["payload"], meter)
    row = {
        "identifier": identifier, "event_name": given["event_name"], "customer": customer, "value": value,
        "timestamp": timestamp, "received": now, "visible": now + call.store.setting("lag", 0),
        "meter": meter["id"] if meter else None, "state": "rejected" if code else "taken", "code": code,
    }  # fmt: skip
    names = ", ".join(row)
    call.store.db.execute(
        f"insert into meter_events ({names}) values ({', '.join('?' * len(row))})",  # noqa: S608
        tuple(row.values()),
    )
    return {
        "object": "billing.meter_event",
        "created": now,
        "event_name": given["event_name"],
        "identifier": identifier,
        "livemode": False,
        "payload": given["payload"],
        "timestamp": timestamp,
    }


def take_later(call: Call, event: Any) -> None:
    """As `take`, of a stream: what is wrong with an event is told later, and keeps none other out."""
    given = event if isinstance(event, dict) else {}
    try:
        take(call, _of_stream(given))
        return
    except Refusal as refusal:
        code = refusal.code
    identifier = str(given.get("identifier", ""))
    if _known(call.store, identifier, call.now):
        return  # said twice: counted once, and nothing to tell
    name = str(given.get("event_name", ""))
    meter = _meter(call.store, name)
    call.store.db.execute(
        "insert into meter_events (identifier, event_name, customer, value, timestamp, received, visible,"
        " meter, state, code) values (?, ?, '', 0, ?, ?, ?, ?, 'rejected', ?)",
        (identifier, name, call.now, call.now, call.now, meter["id"] if meter else None, code),
    )


def _of_stream(given: dict[str, Any]) -> dict[str, Any]:
    """v2 says times as text. What is not as it should be is an invalid value."""
    invalid = Refusal("Not a meter event.", code="meter_event_invalid_value")
    event = {"event_name": given.get("event_name"), "payload": given.get("payload")}
    if not isinstance(event["event_name"], str) or not isinstance(event["payload"], dict):
        raise invalid
    if not all(isinstance(value, str) for value in event["payload"].values()):
        raise invalid
    if identifier := given.get("identifier"):
        event["identifier"] = str(identifier)
    if timestamp := given.get("timestamp"):
        try:
            event["timestamp"] = int(datetime.fromisoformat(str(timestamp)).timestamp())
        except ValueError:
            raise invalid from None
    return event


def adjust(call: Call) -> Object:
    """Cancel an event that came within the last 24 hours."""
    given = call.params
    identifier = given.get("cancel", {}).get("identifier")
    if not identifier:
        raise Refusal(
            "Missing required param: cancel[identifier].",
            code="parameter_missing",
            param="cancel[identifier]",
        )
    found = call.store.db.execute(
        "select n, state, received from meter_events where identifier = ? and event_name = ?"
        " order by n desc limit 1",
        (identifier, given["event_name"]),
    ).fetchone()
    if found is None:
        raise _refused(f"No such meter event: '{identifier}'", "resource_missing", "cancel[identifier]")
    if found["received"] <= call.now - KNOWN_FOR_S:
        raise _refused(
            "Only meter events that were received within the last 24 hours can be cancelled.", "",
            "cancel[identifier]",
        )  # fmt: skip
    if found["state"] == "cancelled":
        raise _refused(f"The event {identifier} is already cancelled.", "", "cancel[identifier]")
    call.store.db.execute("update meter_events set state = 'cancelled' where n = ?", (found["n"],))
    return {
        "object": "billing.meter_event_adjustment",
        "cancel": {"identifier": identifier},
        "event_name": given["event_name"],
        "livemode": False,
        "status": "pending",
        "type": "cancel",
    }


def in_flight_key(given: dict[str, Any]) -> str:
    """Stripe takes one call at a time for a customer and meter."""
    payload = given.get("payload")
    customer = payload.get("stripe_customer_id", "") if isinstance(payload, dict) else ""
    return f"{given.get('event_name', '')} {customer}"


def _refused(message: str, code: str, param: str) -> Refusal:
    return Refusal(message, code=code, param=param, headers={"Stripe-Should-Retry": "false"})


def _meter(store: Store, event_name: str) -> Object | None:
    named = [one for one in store.all("billing.meter") if one["event_name"] == event_name]
    active = [one for one in named if one["status"] == "active"]
    return next(iter([*active, *named]), None)


def _value(payload: dict[str, str], meter: Object | None) -> int:
    name = meter["value_settings"]["event_payload_key"] if meter else "value"
    said = payload.get(name)
    if said is None and meter and meter["default_aggregation"]["formula"] == "count":
        return 1
    param = f"payload[{name}]"
    if said is None or not INTEGER.match(said):
        raise _refused(f"Invalid value: {param} must be a whole number.", "meter_event_invalid_value", param)
    if len(said.lstrip("-")) > MAX_DIGITS:
        raise _refused(
            f"Invalid value: {param} has more than 15 digits.", "meter_event_value_too_many_digits", param
        )
    return int(said)


def _known(store: Store, identifier: str, now: int) -> bool:
    row = store.db.execute(
        "select 1 from meter_events where identifier = ? and received > ?", (identifier, now - KNOWN_FOR_S)
    ).fetchone()
    return row is not None


def _late(call: Call, payload: dict[str, str], meter: Object | None) -> tuple[str, str | None]:
    """The customer, and why the event will be rejected after it has been taken."""
    key = meter["customer_mapping"]["event_payload_key"] if meter else "stripe_customer_id"
    customer = payload.get(key, "")
    if meter is None:
        return customer, "no_meter"
    if meter["status"] != "active":
        return customer, "archived_meter"
    if not customer:
        return customer, "meter_event_no_customer_defined"
    found = call.store.get("customer", customer)
    if found is None or found.get("deleted"):
        return customer, "meter_event_customer_not_found"
    rejecting = call.store.setting("reject_next", {"times": 0})
    if rejecting["times"] > 0:
        call.store.set("reject_next", {**rejecting, "times": rejecting["times"] - 1})
        return customer, rejecting["code"]
    return customer, None
