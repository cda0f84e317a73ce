import httpx
import pytest
import stripe

CREDIT = {"currency": "usd", "unit_amount": 5000, "product_data": {"name": "Credit"}}


@pytest.fixture
def paying(client, shop):
    return client.v1.checkout.sessions.create(
        {
            "mode": "payment",
            "customer": shop.acme,
            "line_items": [{"quantity": 2, "price_data": CREDIT}],
            "metadata": {"tenant": "acme"},
            "success_url": "https://stt.example.com/done",
            "cancel_url": "https://stt.example.com/not",
        }
    )


def test_credit_is_paid_once(client, paying):
    assert (paying.amount_total, paying.currency, paying.payment_status) == (10000, "usd", "unpaid")
    assert "Pay 100.00 USD" in httpx.get(paying.url).text
    declined = httpx.post(paying.url, data={"card": "bad"})
    assert "was declined" in declined.text
    assert client.v1.checkout.sessions.retrieve(paying.id).status == "open"
    done = httpx.post(paying.url, data={"card": "good"})
    assert (done.status_code, done.headers["Location"]) == (303, "https://stt.example.com/done")
    httpx.post(paying.url, data={"card": "good"})
    session = client.v1.checkout.sessions.retrieve(paying.id)
    assert (session.status, session.payment_status) == ("complete", "paid")
    assert session.payment_intent.startswith("pi_")
    (event,) = client.v1.events.list({"type": "checkout.session.completed"}).data
    assert event.data.object.metadata.to_dict() == {"tenant": "acme"}


def test_a_card_is_set_up_and_used_by_nobody_until_it_is_said_so(client, shop):
    session = client.v1.checkout.sessions.create(
        {"mode": "setup", "customer": shop.acme, "currency": "usd", "success_url": "https://stt.example.com/"}
    )
    assert "Save a card" in httpx.get(session.url).text
    assert httpx.post(session.url, data={"card": "good"}).status_code == 303
    session = client.v1.checkout.sessions.retrieve(session.id)
    assert (session.status, session.payment_status) == ("complete", "no_payment_required")
    setup = client.v1.setup_intents.retrieve(session.setup_intent, {"expand": ["payment_method"]})
    assert (setup.status, setup.customer, setup.payment_method.customer) == (
        "succeeded",
        shop.acme,
        shop.acme,
    )
    assert client.v1.customers.retrieve(shop.acme).invoice_settings.default_payment_method is None
    changed = {"invoice_settings": {"default_payment_method": setup.payment_method.id}}
    client.v1.customers.update(shop.acme, changed)
    with pytest.raises(stripe.InvalidRequestError, match="No such payment_method"):
        client.v1.customers.update(shop.rival, changed)


def test_a_session_ends_after_a_day(client, control, paying):
    control("clock", advance=86400)
    assert client.v1.checkout.sessions.retrieve(paying.id).status == "expired"
    assert "expired" in httpx.post(paying.url, data={"card": "good"}).text
    assert client.v1.events.list({"type": "checkout.session.expired"}).data


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"mode": "subscription"}, "modes setup and payment"),
        ({"line_items": []}, "Missing required param: line_items"),
        ({"customer": "cus_of_nobody"}, "No such customer"),
        ({"line_items": [{"price": "price_of_nobody"}]}, "No such price"),
    ],
)
def test_what_cannot_be_paid_is_named(client, shop, change, said):
    given = {"mode": "payment", "customer": shop.acme, "line_items": [{"price_data": CREDIT}], **change}
    with pytest.raises(stripe.InvalidRequestError, match=said):
        client.v1.checkout.sessions.create(given)
