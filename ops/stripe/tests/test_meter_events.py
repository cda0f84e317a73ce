import pytest
import stripe


def test_an_identifier_is_forgotten_after_a_day_and_no_sooner(control, tell, shop, totals):
    control("clock", at="2026-11-10T12:00:00+00:00", stand=True)
    tell(5, "a")
    control("clock", advance=86399)
    with pytest.raises(stripe.InvalidRequestError, match="already exists"):
        tell(5, "a")
    control("clock", advance=1)
    tell(5, "a")  # whoever says it again now is counted twice
    assert totals() == {shop.acme: 10}


@pytest.mark.parametrize(
    ("ahead", "code"),
    [
        (-35 * 86400, None),
        (-35 * 86400 - 1, "timestamp_too_far_in_past"),
        (300, None),
        (301, "timestamp_in_future"),
    ],
)
def test_the_edges_of_time(control, tell, ahead, code):
    now = control("clock", at=1_800_000_000, stand=True)["now"]
    if code is None:
        tell(1, "a", timestamp=now + ahead)
        return
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        tell(1, "a", timestamp=now + ahead)
    assert refusal.value.code == code
    assert refusal.value.headers["Stripe-Should-Retry"] == "false"


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("1.5", "meter_event_invalid_value"),
        ("", "meter_event_invalid_value"),
        ("1e3", "meter_event_invalid_value"),
        ("1000000000000000", "meter_event_value_too_many_digits"),
        ("-1000000000000000", "meter_event_value_too_many_digits"),
    ],
)
def test_values_that_are_none(tell, totals, value, code):
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        tell(value, "a")
    assert refusal.value.code == code
    assert totals() == {}


def test_an_event_can_be_cancelled_for_a_day(client, control, tell, shop, totals):
    def cancel(identifier):
        return client.v1.billing.meter_event_adjustments.create(
            {"event_name": "audio", "type": "cancel", "cancel": {"identifier": identifier}}
        )

    control("clock", at="2026-11-10T12:00:00+00:00", stand=True)
    tell(5, "a")
    tell(7, "b")
    tell(9, "c", customer=shop.rival)
    cancel("a")
    with pytest.raises(stripe.InvalidRequestError, match="already cancelled"):
        cancel("a")
    with pytest.raises(stripe.InvalidRequestError):
        cancel("of nobody")
    control("clock", advance=86400)
    with pytest.raises(stripe.InvalidRequestError, match="24 hours"):
        cancel("b")
    assert totals() == {shop.acme: 7, shop.rival: 9}


def test_what_is_wrong_with_an_event_of_a_stream_is_told_later(client, control, shop, totals, local_stripe):
    session = client.v2.billing.meter_event_session.create()
    stream = stripe.StripeClient(session.authentication_token, base_addresses=local_stripe.base_addresses)
    good = {"stripe_customer_id": shop.acme, "value": "3"}
    sent = [
        {"event_name": "audio", "identifier": "a", "payload": good},
        {"event_name": "audio", "identifier": "a", "payload": good},
        {"event_name": "audio", "identifier": "b", "payload": {**good, "value": "much"}},
        {"event_name": "audio", "identifier": "c", "payload": good, "timestamp": "yesterday"},
        {"event_name": "of no meter", "identifier": "d", "payload": good},
    ]
    stream.v2.billing.meter_event_stream.create({"events": sent})
    assert totals() == {shop.acme: 3}
    control("turn")
    kinds = [one["type"] for one in control("deliveries")["deliveries"]]
    assert kinds[-2:] == ["v1.billing.meter.error_report_triggered", "v1.billing.meter.no_meter_found"]

    control("clock", advance=901)
    with pytest.raises(stripe.AuthenticationError):
        stream.v2.billing.meter_event_stream.create({"events": sent[:1]})
