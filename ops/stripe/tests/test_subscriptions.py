import pytest
import stripe


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"customer": "cus_of_nobody"}, "No such customer"),
        ({"items": [{"price": "price_of_nobody"}]}, "No such price"),
        ({"items": []}, "Missing required param: items"),
        ({"trial_period_days": 3}, "does not serve the parameter trial_period_days"),
        ({"billing_cycle_anchor": 1}, "must be in the future"),
    ],
)
def test_what_cannot_be_subscribed_to_is_named(client, shop, change, said):
    with pytest.raises(stripe.InvalidRequestError, match=said):
        client.v1.subscriptions.create({"customer": shop.acme, "items": [{"price": shop.price.id}], **change})


def test_the_same_price_twice_is_refused(client, shop):
    with pytest.raises(stripe.InvalidRequestError, match="same price"):
        client.v1.subscriptions.create({"customer": shop.acme, "items": [{"price": shop.price.id}] * 2})


@pytest.mark.usefixtures("standing")
def test_it_can_end_with_its_period(client, control, shop, tell):
    client.v1.subscriptions.update(shop.acme_subscription, {"cancel_at_period_end": True})
    tell(5, "a")
    control("clock", at="2027-02-01T12:00:00+00:00")
    ended = client.v1.subscriptions.retrieve(shop.acme_subscription)
    assert ended.status == "canceled"
    (last,) = client.v1.invoices.list({"customer": shop.acme}).data
    assert last.total == 5
    assert len(client.v1.invoices.list({"customer": shop.rival}).data) == 3
    assert client.v1.subscriptions.list({"customer": shop.acme}).data == []
    assert len(client.v1.subscriptions.list({"customer": shop.acme, "status": "all"}).data) == 1


@pytest.mark.usefixtures("standing")
def test_cancelled_now_it_can_be_invoiced_now(client, control, shop, tell):
    now = control("clock")["now"]
    made = client.v1.subscriptions.create({"customer": shop.acme, "items": [{"price": shop.price.id}]})
    tell(5, "a", timestamp=now)
    control("clock", advance=60)
    client.v1.subscriptions.cancel(made.id, {"invoice_now": True})
    (invoice,) = client.v1.invoices.list({"subscription": made.id}).data
    assert (invoice.total, invoice.status) == (5, "draft")
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.subscriptions.cancel(made.id)
