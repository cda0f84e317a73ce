import time

import httpx
import pytest
import stripe

from ops.stripe import faults
from ops.stripe.errors import Refusal

EVENTS = "/v1/billing/meter_events"


def test_a_500_before_changes_nothing(control, tell, totals):
    control("faults", path=EVENTS, status=500, times=2)
    for _ in range(2):
        with pytest.raises(stripe.APIError) as failed:
            tell(5, "a")
        assert failed.value.http_status == 500
    assert totals() == {}
    tell(5, "a")
    assert list(totals().values()) == [5]
    assert control("faults")["faults"] == []


def test_a_500_after_has_done_it(control, tell, totals):
    control("faults", path=EVENTS, status=500, when="after")
    with pytest.raises(stripe.APIError):
        tell(5, "a")
    with pytest.raises(stripe.InvalidRequestError, match="already exists with identifier"):
        tell(5, "a")
    assert list(totals().values()) == [5]


def test_a_429_says_when_to_come_again(control, tell, totals):
    control("faults", path=EVENTS, status=429, retry_after=3)
    with pytest.raises(stripe.RateLimitError) as refusal:
        tell(5, "a")
    assert refusal.value.headers["Retry-After"] == "3"
    assert totals() == {}
    tell(5, "a")


@pytest.mark.parametrize(("when", "arrived"), [("before", []), ("after", [5])])
def test_a_connection_is_reset(control, client, tell, totals, when, arrived):
    control("faults", path=EVENTS, kind="reset", when=when)
    with pytest.raises(stripe.APIConnectionError):
        tell(5, "a")
    assert list(totals().values()) == arrived


def test_an_answer_comes_too_late(control, local_stripe, shop, totals):
    control("faults", path=EVENTS, kind="delay", when="after", seconds=60)
    hurried = stripe.StripeClient(
        local_stripe.api_key, base_addresses=local_stripe.base_addresses, max_network_retries=0,
        http_client=stripe.RequestsClient(timeout=0.3),
    )  # fmt: skip
    payload = {"stripe_customer_id": shop.acme, "value": "5"}
    with pytest.raises(stripe.APIConnectionError):
        hurried.v1.billing.meter_events.create(
            {"event_name": "audio", "payload": payload, "identifier": "late"}
        )
    deadline = time.monotonic() + 20
    while totals() != {shop.acme: 5}:
        assert time.monotonic() < deadline
    control("faults", clear=True)


def test_down_is_down_for_all_until_it_is_up(control, client, local_stripe):
    control("down")
    for _ in range(3):
        with pytest.raises(stripe.APIConnectionError):
            client.v1.customers.list()
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{local_stripe.url}/v1/customers")
    control("up")
    assert client.v1.customers.list().data == []


def test_down_ends_by_itself():
    store = {"faults": [faults.parse({"kind": "reset", "times": None, "until": 100.0})]}

    class Kept:
        setting = staticmethod(store.get)
        set = staticmethod(store.__setitem__)

    assert faults.next_of(Kept, "GET", "/v1/x", 99.0)[0].kind == "reset"
    assert faults.next_of(Kept, "GET", "/v1/x", 100.0) == []
    assert store["faults"] == []


def test_a_fault_is_of_its_path_and_method_only(control, client, tell):
    control("faults", path=EVENTS, method="POST", status=503)
    assert client.v1.customers.list().data
    with pytest.raises(stripe.APIError) as failed:
        tell(1, "a")
    assert failed.value.http_status == 503


@pytest.mark.parametrize("wrong", [{"kind": "fire"}, {"when": "never"}, {"staus": 500}])
def test_a_fault_that_is_none_is_refused(wrong):
    with pytest.raises(Refusal):
        faults.parse(wrong)
