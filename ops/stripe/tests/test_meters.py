import pytest
import stripe


def total(client, shop, start, end, customer=None):
    listed = client.v1.billing.meters.event_summaries.list(
        shop.meter.id, {"customer": customer or shop.acme, "start_time": start, "end_time": end}
    )
    return sum(one.aggregated_value for one in listed.data)


def test_sums_lag_behind(client, control, shop, tell):
    now = control("clock", at="2026-11-10T12:00:00+00:00", stand=True)["now"]
    control("lag", seconds=90)
    tell(5, "a")
    assert total(client, shop, now - 60, now + 60) == 0
    assert control("received")["totals"][0]["value"] == 5
    control("clock", advance=90)
    assert total(client, shop, now - 60, now + 60) == 5
    assert total(client, shop, now - 60, now + 60, shop.rival) == 0


@pytest.mark.parametrize(("formula", "found"), [("sum", 9), ("count", 3), ("last", 4)])
def test_a_meter_sums_counts_or_keeps_the_last(client, control, shop, formula, found):
    now = control("clock", at="2026-11-10T12:00:00+00:00", stand=True)["now"]
    meter = client.v1.billing.meters.create(
        {"display_name": "x", "event_name": "x", "default_aggregation": {"formula": formula}}
    )
    for value, at in ((2, 10), (4, 50), (3, 30)):
        client.v1.billing.meter_events.create(
            {
                "event_name": "x",
                "payload": {"stripe_customer_id": shop.acme, "value": str(value)},
                "timestamp": now - 60 + at,
            }
        )
    (summary,) = client.v1.billing.meters.event_summaries.list(
        meter.id, {"customer": shop.acme, "start_time": now - 60, "end_time": now}
    ).data
    assert summary.aggregated_value == found


def test_what_comes_while_a_meter_sleeps_is_reported(client, control, shop, tell, totals):
    client.v1.billing.meters.deactivate(shop.meter.id)
    tell(5, "a")
    control("turn")
    assert totals() == {}
    (event,) = client.v2.core.events.list({"types": ["v1.billing.meter.error_report_triggered"]}).data
    assert event.data.reason.error_types[0].code == "archived_meter"
    client.v1.billing.meters.reactivate(shop.meter.id)
    tell(5, "b")
    assert totals() == {shop.acme: 5}


def test_a_meter_that_sleeps_can_have_no_new_price(client, shop):
    client.v1.billing.meters.deactivate(shop.meter.id)
    with pytest.raises(stripe.InvalidRequestError, match="not active"):
        client.v1.prices.create(
            {
                "product": shop.price.product,
                "currency": "usd",
                "unit_amount": 1,
                "recurring": {"interval": "month", "usage_type": "metered", "meter": shop.meter.id},
            }
        )
