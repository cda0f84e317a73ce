import pytest

from ops.stripe import checks
from ops.stripe.errors import BrokenAnswer, Refusal

EVENTS = ("POST", "/v1/billing/meter_events")
GOOD = {"event_name": "audio", "payload": {"value": "1"}}


def test_text_becomes_what_the_document_says():
    taken = checks.request(*EVENTS, {**GOOD, "timestamp": "17"})
    assert taken == {**GOOD, "timestamp": 17}
    taken = checks.request("GET", "/v1/prices", {"active": "true", "limit": "3", "lookup_keys": ["a"]})
    assert taken == {"active": True, "limit": 3, "lookup_keys": ["a"]}
    assert checks.request("POST", "/v1/customers", {"metadata": ""}) == {"metadata": ""}


def test_a_map_whose_keys_are_numbers_stays_a_map():
    assert checks.request("POST", "/v1/customers", {"metadata": ["a"]}) == {"metadata": {"0": "a"}}


@pytest.mark.parametrize(
    ("given", "code", "param"),
    [
        ({**GOOD, "value": "1"}, "parameter_unknown", "value"),
        ({"payload": {"value": "1"}}, "parameter_missing", "event_name"),
        ({**GOOD, "timestamp": "soon"}, "parameter_invalid_integer", "timestamp"),
        ({**GOOD, "identifier": "x" * 101}, "", "identifier"),
        ({**GOOD, "payload": "1"}, "", "payload"),
        ({**GOOD, "payload": {"value": {"a": "1"}}}, "", "payload[value]"),
    ],
)
def test_what_stripe_refuses_is_refused_by_name(given, code, param):
    with pytest.raises(Refusal) as refusal:
        checks.request(*EVENTS, given)
    assert (refusal.value.status, refusal.value.code, refusal.value.param) == (400, code, param)


def test_unknown_parameters_are_refused_at_every_depth():
    item = {"price": "price_1", "prise": "2"}
    with pytest.raises(Refusal) as refusal:
        checks.request("POST", "/v1/subscriptions", {"customer": "cus_1", "items": [item]})
    assert refusal.value.code == "parameter_unknown"
    assert refusal.value.param == "items[0][prise]"


def test_an_answer_has_what_stripe_s_has_and_no_more():
    event = {
        "object": "billing.meter_event", "created": 1, "event_name": "audio", "identifier": "a",
        "livemode": False, "payload": {"value": "1"}, "timestamp": 1,
    }  # fmt: skip
    checks.answer(*EVENTS, event)
    with pytest.raises(BrokenAnswer, match="more"):
        checks.answer(*EVENTS, {**event, "more": 1})
    with pytest.raises(BrokenAnswer, match="livemode"):
        checks.answer(*EVENTS, {name: value for name, value in event.items() if name != "livemode"})
    with pytest.raises(BrokenAnswer, match="created"):
        checks.answer(*EVENTS, {**event, "created": None})


def test_an_object_that_is_not_served_cannot_be_in_an_answer():
    customer = {"id": "cus_1", "object": "customer", "created": 1, "livemode": False}
    checks.named("customer", {**customer, "test_clock": "clock_1"})
    with pytest.raises(BrokenAnswer):
        checks.named("customer", {**customer, "test_clock": {"object": "test_helpers.test_clock"}})
