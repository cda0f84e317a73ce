import httpx
import pytest

from ops.stripe import pages


@pytest.mark.usefixtures("standing")
def test_a_customer_leaves_a_card_and_pays(client, control, shop, tell):
    tell(12345, "a")
    control("clock", at="2026-12-01T01:00:00+00:00")
    session = client.v1.billing_portal.sessions.create(
        {"customer": shop.acme, "return_url": "https://stt.example.com/billing?a=1&b=2"}
    )
    page = httpx.get(session.url)
    assert page.status_code == 200
    assert "Billing of Acme" in page.text
    assert "123.45 USD" in page.text
    assert "Card: none" in page.text
    assert 'href="https://stt.example.com/billing?a=1&amp;b=2"' in page.text
    assert "Rival" not in page.text

    (invoice,) = client.v1.invoices.list({"customer": shop.acme}).data
    assert invoice.status == "open"
    declined = httpx.post(invoice.hosted_invoice_url, data={"card": "bad"}, follow_redirects=True)
    assert "open" in declined.text
    assert client.v1.invoices.retrieve(invoice.id).status == "open"
    paid = httpx.post(invoice.hosted_invoice_url, data={"card": "good"}, follow_redirects=True)
    assert ": paid" in paid.text
    assert client.v1.invoices.retrieve(invoice.id).status == "paid"
    assert "…4242" in httpx.get(session.url).text


def test_a_card_is_saved_in_the_portal(client, shop):
    session = client.v1.billing_portal.sessions.create({"customer": shop.acme})
    httpx.post(session.url, data={"card": "good"})
    method = client.v1.customers.retrieve(shop.acme).invoice_settings.default_payment_method
    assert client.v1.payment_methods.retrieve(method).customer == shop.acme
    assert [one.id for one in client.v1.customers.payment_methods.list(shop.acme).data] == [method]
    assert client.v1.customers.retrieve(shop.rival).invoice_settings.default_payment_method is None


def test_names_are_no_html(client):
    made = client.v1.customers.create({"name": "<script>alert(1)</script>"})
    session = client.v1.billing_portal.sessions.create({"customer": made.id})
    assert "<script>" not in httpx.get(session.url).text
    assert "<script>" not in httpx.get(session.url.rpartition("/portal")[0]).text


def test_the_first_page_shows_who_is_there(client, local_stripe, shop, tell):
    tell(42, "a")
    page = httpx.get(f"{local_stripe.url}/").text
    for said in ("Acme", "Rival", "audio", "42", "No money moves here"):
        assert said in page
    session = httpx.post(f"{local_stripe.url}/", data={"customer": shop.acme}, follow_redirects=True)
    assert "Billing of Acme" in session.text


@pytest.mark.parametrize(
    ("coins", "currency", "shown"),
    [
        (1234567, "usd", "12,345.67 USD"),
        (5, "eur", "0.05 EUR"),
        (1500, "jpy", "1,500 JPY"),
        (1500, "kwd", "1.500 KWD"),
    ],
)
def test_money_is_shown_in_the_currencys_own_coins(coins, currency, shown):
    assert pages._money(coins, currency) == shown


@pytest.mark.parametrize(
    "path", ["/portal/session/x", "/portal/invoice/x", "/checkout/x", "/portal/", "/checkout/"]
)
def test_a_page_that_is_not_there_is_404(local_stripe, path):
    assert httpx.get(f"{local_stripe.url}{path}").status_code == 404
