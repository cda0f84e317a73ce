from itertools import pairwise

import pytest
import stripe

DAY = 86400


pytestmark = pytest.mark.usefixtures("standing")


def invoices(client, customer):
    return client.v1.invoices.list({"customer": customer}).data


def with_card(client, customer, card="pm_card_visa"):
    method = client.v1.payment_methods.attach(card, {"customer": customer})
    client.v1.customers.update(customer, {"invoice_settings": {"default_payment_method": method.id}})


def test_a_period_becomes_a_draft_then_final_then_paid(client, control, shop, tell):
    with_card(client, shop.acme)
    tell(250, "a")
    tell(17, "b", customer=shop.rival)
    control("clock", at="2026-12-01T00:00:00+00:00")
    (draft,) = invoices(client, shop.acme)
    assert (draft.status, draft.total, draft.number) == ("draft", 250, None)

    # Usage of the period that comes within the hour is still in it; of the next period is not.
    tell(50, "c", timestamp=control("clock")["now"] - 1)
    tell(1, "d")
    control("clock", advance=3599)
    assert invoices(client, shop.acme)[0].status == "draft"
    control("clock", advance=1)
    (paid,) = invoices(client, shop.acme)
    assert (paid.status, paid.total, paid.amount_paid, paid.amount_remaining) == ("paid", 300, 300, 0)
    assert paid.number.endswith("-0001")
    assert invoices(client, shop.rival)[0].total == 17
    (line,) = client.v1.invoices.line_items.list(paid.id).data
    assert (line.quantity, line.amount) == (300, 300)
    assert line.period.end == paid.period_end


def test_what_comes_after_the_hour_is_in_no_invoice(client, control, shop, tell):
    control("clock", at="2026-12-01T01:00:00+00:00")
    tell(50, "late", timestamp=control("clock")["now"] - 7200)
    control("clock", at="2027-01-01T01:00:00+00:00")
    assert [one.total for one in invoices(client, shop.acme)] == [0, 0]


def test_an_invoice_sees_only_what_is_aggregated(client, control, shop, tell):
    control("lag", seconds=2 * 3600)
    control("clock", at="2026-11-30T23:59:00+00:00")
    tell(50, "a")
    control("clock", at="2026-12-01T01:00:00+00:00")
    assert invoices(client, shop.acme)[0].total == 0


def test_usage_below_nothing_is_an_invoice_of_nothing(client, control, shop, tell):
    tell(5, "a")
    tell(-9, "b")
    control("clock", at="2026-12-01T01:00:00+00:00")
    (invoice,) = invoices(client, shop.acme)
    assert (invoice.total, invoice.status, invoice.lines.data[0].quantity) == (0, "paid", 0)


def test_a_draft_can_be_kept_back(client, control, shop, tell):
    control("clock", at="2026-12-01T00:00:00+00:00")
    (draft,) = invoices(client, shop.acme)
    client.v1.invoices.update(draft.id, {"auto_advance": False, "metadata": {"why": "asked"}})
    control("clock", advance=DAY)
    assert client.v1.invoices.retrieve(draft.id).status == "draft"
    client.v1.invoices.update(draft.id, {"auto_advance": True})
    control("turn")
    assert client.v1.invoices.retrieve(draft.id).status == "paid"


def test_a_year_goes_by_in_twelve_invoices(client, control, shop):
    control("clock", at="2027-11-10T12:00:00+00:00")
    control("turn")
    found = invoices(client, shop.acme)
    assert len(client.v1.invoices.list({"customer": shop.acme, "limit": 100}).data) == 12
    assert all(later.period_start == earlier.period_end for later, earlier in pairwise(found))


def test_without_a_card_it_fails_is_tried_again_and_given_up(client, control, shop, tell):
    tell(100, "a")
    control("clock", at="2026-12-01T01:00:00+00:00")
    (invoice,) = invoices(client, shop.acme)
    assert (invoice.status, invoice.attempt_count, invoice.attempted) == ("open", 1, True)
    assert client.v1.subscriptions.retrieve(shop.acme_subscription).status == "past_due"
    assert client.v1.customers.retrieve(shop.acme).delinquent
    assert client.v1.subscriptions.retrieve(shop.rival_subscription).status == "active"
    for _ in range(3):
        control("clock", advance=3 * DAY)
    invoice = client.v1.invoices.retrieve(invoice.id)
    assert (invoice.attempt_count, invoice.next_payment_attempt) == (4, None)
    assert client.v1.subscriptions.retrieve(shop.acme_subscription).status == "unpaid"
    failed = client.v1.events.list({"type": "invoice.payment_failed"}).data
    assert len(failed) == 4

    with pytest.raises(stripe.CardError) as refusal:
        client.v1.invoices.pay(invoice.id)
    assert (refusal.value.code, refusal.value.http_status) == ("card_declined", 402)
    assert client.v1.invoices.retrieve(invoice.id).attempt_count == 5  # it was refused, and it has happened

    with_card(client, shop.acme)
    assert client.v1.invoices.pay(invoice.id).status == "paid"
    assert client.v1.subscriptions.retrieve(shop.acme_subscription).status == "active"
    assert not client.v1.customers.retrieve(shop.acme).delinquent


def test_a_card_can_be_one_that_is_declined(client, control, shop, tell):
    with_card(client, shop.acme, "pm_card_chargeCustomerFail")
    tell(100, "a")
    control("clock", at="2026-12-01T01:00:00+00:00")
    assert invoices(client, shop.acme)[0].status == "open"


def test_control_says_whether_payments_succeed(client, control, shop, tell):
    tell(100, "a")
    tell(100, "b", customer=shop.rival)
    control("payments", outcome="succeed")
    control("payments", customer=shop.rival, outcome="fail")
    control("clock", at="2026-12-01T01:00:00+00:00")
    assert invoices(client, shop.acme)[0].status == "paid"
    assert invoices(client, shop.rival)[0].status == "open"


def test_an_invoice_can_be_made_now(client, control, shop, tell):
    control("payments", outcome="succeed")
    tell(100, "a", timestamp=control("clock")["now"] - 1)
    control("clock", advance=60)
    period = client.v1.subscriptions.retrieve(shop.acme_subscription)["items"].data[0].current_period_end
    made = control("invoice", customer=shop.acme, start=control("clock")["now"] - 3600, finalise=True)
    assert (made["status"], made["total"]) == ("paid", 100)
    after = client.v1.subscriptions.retrieve(shop.acme_subscription)
    assert after["items"].data[0].current_period_end == period
    assert after.latest_invoice == made["id"]


def test_a_preview_is_no_invoice(client, shop, tell):
    tell(123, "a")
    preview = client.v1.invoices.create_preview({"customer": shop.acme})
    assert (preview.total, preview.billing_reason) == (123, "upcoming")
    assert invoices(client, shop.acme) == []
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        client.v1.invoices.create_preview({"customer": client.v1.customers.create({}).id})
    assert refusal.value.code == "invoice_upcoming_none"


def test_the_hour_can_be_days(client, control, shop, tell):
    control("grace", seconds=72 * 3600)
    control("clock", at="2026-12-01T00:00:00+00:00")
    control("clock", advance=72 * 3600 - 1)
    tell(50, "late", timestamp=control("clock")["now"] - 4 * DAY)
    assert invoices(client, shop.acme)[0].status == "draft"
    control("clock", advance=1)
    assert (invoices(client, shop.acme)[0].status, invoices(client, shop.acme)[0].total) == ("open", 50)


def test_who_is_let_off_is_in_good_standing(client, control, shop, tell):
    tell(50, "a")
    control("clock", at="2026-12-01T01:00:00+00:00")
    assert client.v1.subscriptions.retrieve(shop.acme_subscription).status == "past_due"
    client.v1.invoices.void_invoice(invoices(client, shop.acme)[0].id)
    assert client.v1.subscriptions.retrieve(shop.acme_subscription).status == "active"


def test_final_is_final(client, control, shop, tell):
    tell(100, "a")
    control("clock", at="2026-12-01T00:00:00+00:00")
    (draft,) = invoices(client, shop.acme)
    final = client.v1.invoices.finalize_invoice(draft.id)
    assert final.status == "open"
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.invoices.finalize_invoice(draft.id)
    assert client.v1.invoices.mark_uncollectible(draft.id).status == "uncollectible"
    assert client.v1.invoices.void_invoice(draft.id).status == "void"
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.invoices.pay(draft.id)
