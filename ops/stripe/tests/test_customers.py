import pytest
import stripe


def test_a_search_is_by_what_a_customer_has(client):
    acme = client.v1.customers.create(
        {"name": "Acme", "metadata": {"tenant": "a"}, "email": "a@acme.example"}
    )
    client.v1.customers.create({"name": "Rival", "metadata": {"tenant": "b"}})

    def found(query):
        return [one.id for one in client.v1.customers.search({"query": query}).data]

    assert found("metadata['tenant']:'a'") == [acme.id]
    assert found("name:'Acme' AND email:'a@acme.example'") == [acme.id]
    assert found("-metadata['tenant']:'b'") == [acme.id]
    assert found("name:'Acme' AND metadata['tenant']:'b'") == []
    with pytest.raises(stripe.InvalidRequestError, match="unable to parse"):
        found("name LIKE Acme")


def test_metadata_is_merged_and_taken_away(client):
    made = client.v1.customers.create({"metadata": {"a": "1", "b": "2"}})
    changed = client.v1.customers.update(made.id, {"metadata": {"b": "", "c": "3"}})
    assert changed.metadata.to_dict() == {"a": "1", "c": "3"}
    assert client.v1.customers.update(made.id, {"metadata": ""}).metadata.to_dict() == {}


def test_an_address_is_kept(client):
    made = client.v1.customers.create(
        {"address": {"line1": "1 Wave Street", "city": "Dublin", "country": "IE"}}
    )
    assert client.v1.customers.retrieve(made.id).address.city == "Dublin"


def test_nothing_can_be_done_to_who_was_deleted(client):
    made = client.v1.customers.create({"name": "Acme"})
    client.v1.customers.delete(made.id)
    with pytest.raises(stripe.InvalidRequestError, match="No such customer"):
        client.v1.customers.update(made.id, {"name": "Acme again"})
    with pytest.raises(stripe.InvalidRequestError, match="No such customer"):
        client.v1.billing_portal.sessions.create({"customer": made.id})


def test_who_is_deleted_is_subscribed_to_nothing_any_more(client, control, standing, shop, tell):
    tell(5, "a")
    client.v1.customers.delete(shop.acme)
    assert client.v1.subscriptions.retrieve(shop.acme_subscription).status == "canceled"
    assert client.v1.subscriptions.retrieve(shop.rival_subscription).status == "active"
    control("clock", at="2026-12-01T01:00:00+00:00")
    assert {one.customer for one in client.v1.invoices.list({}).data} == {shop.rival}
