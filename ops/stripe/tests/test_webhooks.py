import json
import socket
import threading
import time

import pytest
import stripe

from ops.stripe import webhooks


@pytest.fixture
def receiver(receiver_of_webhooks, control, local_stripe):
    control("webhook", url=receiver_of_webhooks.url, secret=local_stripe.webhook_secret)
    yield receiver_of_webhooks
    control("webhook", url=None)


def kinds(heard):
    return [json.loads(body)["type"] for body, _ in heard]


def test_an_event_is_signed_as_the_library_checks_it(receiver, client, local_stripe):
    made = client.v1.customers.create({"name": "Acme"})
    ((body, signature),) = receiver.wait_for(1)
    event = stripe.Webhook.construct_event(body, signature, local_stripe.webhook_secret)
    assert (event.type, event.data.object.id) == ("customer.created", made.id)
    assert client.v1.events.retrieve(event.id).type == event.type
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(body, signature, "whsec_of_somebody_else")
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(body.replace(b"Acme", b"Evil"), signature, local_stripe.webhook_secret)


def test_a_thin_event_is_parsed_and_its_data_fetched(receiver, client, local_stripe, shop, tell, control):
    before = len(control("deliveries")["deliveries"])
    tell(1, "lost", customer="cus_of_nobody")
    control("turn")
    body, signature = receiver.wait_for(before + 1)[-1]
    note = client.parse_event_notification(body, signature, local_stripe.webhook_secret)
    assert note.type == "v1.billing.meter.error_report_triggered"
    assert "data" not in json.loads(body)
    event = note.fetch_event()
    assert event.data.reason.error_count == 1
    assert event.data.reason.error_types[0].sample_errors[0].request.identifier == "lost"
    assert note.fetch_related_object().id == shop.meter.id


def test_it_is_said_again_until_it_is_heard(receiver, client, control):
    receiver.answers = [500, 302, 404]
    client.v1.customers.create({"name": "Acme"})
    for attempt in range(2, 5):
        control("deliveries", now=True)
        receiver.wait_for(attempt)
    heard = receiver.wait_for(4)
    assert len({body for body, _ in heard}) == 1
    deadline = time.monotonic() + 10
    while not (found := control("deliveries")["deliveries"][0])["done"]:
        assert time.monotonic() < deadline
    assert found["attempts"] == 4


def test_events_come_again_and_out_of_order_when_asked_to(receiver, client, control):
    control("webhook", held=True)
    for name in ("Acme", "Rival"):
        client.v1.customers.create({"name": name})
    control("deliveries", reversed=True)
    control("webhook", held=False)
    names = [json.loads(body)["data"]["object"]["name"] for body, _ in receiver.wait_for(2)]
    assert names == ["Rival", "Acme"]
    control("deliveries", again=2)
    again = [json.loads(body)["id"] for body, _ in receiver.wait_for(4)]
    assert again[:2] == again[2:]


def test_who_is_not_there_is_not_told_later(receiver, client, control):
    control("webhook", url=None)
    client.v1.customers.create({"name": "Acme"})
    deadline = time.monotonic() + 10
    while not control("deliveries")["deliveries"][0]["done"]:
        assert time.monotonic() < deadline
    control("webhook", url=receiver.url)
    client.v1.customers.create({"name": "Rival"})
    ((body, _),) = receiver.wait_for(1)
    assert json.loads(body)["data"]["object"]["name"] == "Rival"


def test_the_waits_grow_and_end():
    waits = [webhooks.wait_after(attempt) for attempt in range(1, webhooks.MAX_ATTEMPTS)]
    assert waits == sorted(waits)
    assert waits[0] == 0.5
    assert waits[-1] == webhooks.LONGEST_WAIT_S
    assert 3600 < sum(waits) < 86400


def test_an_endpoint_that_speaks_something_else_has_no_status():
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer():
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"220 mail.example\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        endpoint = {"url": f"http://127.0.0.1:{listening.getsockname()[1]}/", "secret": "whsec_x"}
        assert webhooks.send(endpoint, webhooks.Delivery(1, b"{}", 0)) == 0
        thread.join()


def test_an_endpoint_that_is_not_there_has_no_status():
    nowhere = {"url": "http://127.0.0.1:1/", "secret": "whsec_x"}
    assert webhooks.send(nowhere, webhooks.Delivery(1, b"{}", 0)) == 0
