import pytest
import stripe


def test_names_become_objects_where_asked(client, shop):
    listed = client.v1.subscriptions.list({"customer": shop.acme, "expand": ["data.customer", "data.items"]})
    assert listed.data[0].customer.name == "Acme"
    assert client.v1.subscriptions.retrieve(shop.rival_subscription).customer == shop.rival


@pytest.mark.parametrize("path", ["nothing", "data.nothing", "a.b.c.d.e"])
def test_what_cannot_be_expanded_is_refused(client, shop, path):
    with pytest.raises(stripe.InvalidRequestError, match="expand"):
        client.v1.subscriptions.list({"customer": shop.acme, "expand": [path]})
