import threading
import time

import httpx
import pytest
import stripe

EVENTS = "/v1/billing/meter_events"


def asked(local_stripe, method, path, key="sk_test_any", **more):
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.request(
        method, f"{local_stripe.url}{path}", headers={**headers, **more.pop("headers", {})}, **more
    )


def test_a_500_is_replayed_with_its_idempotency_key(control, client, shop, totals):
    control("faults", path=EVENTS, status=500)
    event = {
        "event_name": "audio", "identifier": "a",
        "payload": {"stripe_customer_id": shop.acme, "value": "5"},
    }  # fmt: skip
    for _ in range(2):
        with pytest.raises(stripe.APIError):
            client.v1.billing.meter_events.create(event, {"idempotency_key": "k"})
    client.v1.billing.meter_events.create(event, {"idempotency_key": "another"})
    assert totals() == {shop.acme: 5}


def test_what_never_began_is_not_kept(client, control):
    options = {"idempotency_key": "k"}
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.customers.create({"nmae": "Acme"}, options)
    control("faults", path="/v1/customers", status=429)
    with pytest.raises(stripe.RateLimitError):
        client.v1.customers.create({"name": "Acme"}, options)
    assert client.v1.customers.create({"name": "Acme"}, options).name == "Acme"


def test_a_key_is_forgotten_after_a_day(client, control):
    made = client.v1.customers.create({"name": "Acme"}, {"idempotency_key": "k"})
    control("clock", advance=86399)
    assert client.v1.customers.create({"name": "Acme"}, {"idempotency_key": "k"}).id == made.id
    control("clock", advance=2)
    assert client.v1.customers.create({"name": "Acme"}, {"idempotency_key": "k"}).id != made.id


def test_one_call_at_a_time_for_a_customer_and_a_meter(control, shop, tell):
    control("faults", path=EVENTS, kind="delay", when="before", seconds=60)
    first = threading.Thread(target=tell, args=(1, "a"))
    first.start()
    deadline = time.monotonic() + 20
    while control("faults")["faults"]:  # until the first is in its delay
        assert time.monotonic() < deadline
    with pytest.raises(stripe.RateLimitError) as refusal:
        tell(1, "b")
    assert refusal.value.json_body["error"]["code"] == "lock_timeout"
    tell(1, "c", customer=shop.rival)
    control("faults", clear=True)
    first.join()
    tell(1, "b")


def test_only_so_many_requests_in_a_second(control, client):
    control("clock", at=1_800_000_000, stand=True)  # a second that does not end
    control("limit", per_second=2)
    client.v1.customers.list()
    client.v1.customers.list()
    with pytest.raises(stripe.RateLimitError):
        client.v1.customers.list()
    control("clock", advance=1)
    client.v1.customers.list()


@pytest.mark.parametrize("key", ["", "sk_live_mine", "pk_test_mine"])
def test_only_keys_of_tests_open(local_stripe, key):
    answer = asked(local_stripe, "GET", "/v1/customers", key)
    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert not key or key not in answer.text


def test_a_key_may_come_as_a_user_name(local_stripe):
    assert httpx.get(f"{local_stripe.url}/v1/customers", auth=("sk_test_any", "")).status_code == 200


def test_what_is_not_served_is_named(local_stripe, client):
    answer = asked(local_stripe, "GET", "/v1/charges")
    assert answer.status_code == 404
    assert "GET: /v1/charges" in answer.json()["error"]["message"]
    with pytest.raises(stripe.InvalidRequestError, match="does not serve the parameter shipping"):
        client.v1.customers.create({"shipping": {"name": "A", "address": {"line1": "B"}}})


@pytest.mark.parametrize(
    "body", [b"\xff\xfe=1", b"a[b=1", b"metadata=1", b"metadata[a][b]=1", b"=&=&&", b"name=" + b"x" * 300]
)
def test_garbage_is_refused_and_nothing_breaks(local_stripe, body):
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = asked(local_stripe, "POST", "/v1/customers", content=body, headers=kind)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


def test_too_long_a_body_is_refused(local_stripe):
    answer = asked(local_stripe, "POST", "/v1/customers", content=b"name=" + b"x" * (1 << 20))
    assert answer.status_code == 413
