"""v2: meter events by a session of 15 minutes, up to 100 a call. JSON, and not in Stripe's document."""

from __future__ import annotations

import json
from typing import Any

from ops.stripe import meter_events
from ops.stripe.errors import Refusal, unauthorised
from ops.stripe.events import iso
from ops.stripe.store import Object, new_id
from ops.stripe.world import Call

STREAM = "/v2/billing/meter_event_stream"
SESSION_S = 15 * 60
MAX_EVENTS = 100


def parameters(body: bytes) -> dict[str, Any]:
    try:
        given = json.loads(body or b"{}")
    except ValueError:
        raise Refusal("Invalid request body: not JSON.", keep=False) from None
    if not isinstance(given, dict):
        raise Refusal("Invalid request body: not an object.", keep=False)
    return given


def session(call: Call) -> Object:
    token = new_id("token", 40)
    made: Object = {
        "id": new_id("bmes_test"),
        "object": "v2.billing.meter_event_session",
        "authentication_token": token,
        "created": iso(call.now),
        "expires_at": iso(call.now + SESSION_S),
        "livemode": False,
    }
    call.store.set("tokens", {**call.store.setting("tokens", {}), token: call.now + SESSION_S})
    return made


def stream(call: Call) -> Object:
    token = call.headers.get("authorization", "").partition(" ")[2]
    if call.store.setting("tokens", {}).get(token, 0) <= call.now:
        raise unauthorised("The billing meter event session has expired.")
    events = call.params.get("events")
    if not isinstance(events, list) or not 1 <= len(events) <= MAX_EVENTS:
        raise Refusal(f"events: 1 to {MAX_EVENTS} of them.", param="events", keep=False)
    for event in events:
        meter_events.take_later(call, event)
    return {}
