"""What metering relies on at Stripe: usage is counted once, can be read back, and becomes an invoice."""

from __future__ import annotations

import time
from decimal import ROUND_HALF_UP, Decimal

import pytest
import stripe

# A sandbox adds up and reports when it likes.
pytestmark = pytest.mark.timeout(900)


def tell(provider, metered, value, identifier, **more):
    return provider.client.v1.billing.meter_events.create(
        {
            "event_name": metered.meter.event_name,
            "payload": {"stripe_customer_id": metered.customer, "value": str(value)},
            "identifier": f"{provider.mark}-{identifier}",
            **more,
        }
    )


def total(provider, metered, start, end, **more):
    listed = provider.client.v1.billing.meters.event_summaries.list(
        metered.meter.id, {"customer": metered.customer, "start_time": start, "end_time": end, **more}
    )
    return sum(one.aggregated_value for one in listed.auto_paging_iter())


@pytest.fixture
def hour():
    """The last full hour but one, so that nothing here happens at the edge of an hour."""
    return int(time.time()) // 3600 * 3600 - 7200


def comes_to(provider, metered, start, end, value):
    provider.eventually(lambda: total(provider, metered, start, end) == value, f"a total of {value}")


def test_an_identifier_is_counted_once_and_said_twice_is_an_error(provider, metered, hour):
    said = tell(provider, metered, 40, "a", timestamp=hour)
    assert said.identifier == f"{provider.mark}-a"
    assert said.timestamp == hour
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        tell(provider, metered, 40, "a", timestamp=hour)
    assert refusal.value.http_status == 400
    assert "already exists with identifier" in str(refusal.value)
    assert refusal.value.headers["Stripe-Should-Retry"] == "false"
    tell(provider, metered, 2, "b", timestamp=hour + 1)
    comes_to(provider, metered, hour, hour + 3600, 42)


def test_an_identifier_is_known_whatever_else_is_said_with_it(provider, metered, hour):
    tell(provider, metered, 1, "a", timestamp=hour)
    with pytest.raises(stripe.InvalidRequestError, match="already exists with identifier"):
        tell(provider, metered, 2, "a", timestamp=hour + 60)


@pytest.mark.parametrize("ahead", [-34 * 86400, 0, 240])
def test_usage_is_taken_from_34_days_ago_to_4_minutes_ahead(provider, metered, ahead):
    tell(provider, metered, 1, "a", timestamp=int(time.time()) + ahead)


@pytest.mark.parametrize("ahead", [-36 * 86400, 600])
def test_usage_is_refused_36_days_ago_and_10_minutes_ahead(provider, metered, ahead):
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        tell(provider, metered, 1, "a", timestamp=int(time.time()) + ahead)
    assert refusal.value.http_status == 400


def test_a_value_has_up_to_15_digits(provider, metered, hour):
    tell(provider, metered, 10**15 - 1, "a", timestamp=hour)
    with pytest.raises(stripe.InvalidRequestError):
        tell(provider, metered, 10**15, "b", timestamp=hour)
    with pytest.raises(stripe.InvalidRequestError):
        tell(provider, metered, "much", "c", timestamp=hour)
    comes_to(provider, metered, hour, hour + 3600, 10**15 - 1)


def test_a_value_below_nothing_takes_away(provider, metered, hour):
    tell(provider, metered, 50, "a", timestamp=hour)
    tell(provider, metered, -8, "b", timestamp=hour + 60)
    comes_to(provider, metered, hour, hour + 3600, 42)


def test_summaries_add_up_however_they_are_cut(provider, metered, hour):
    for n, at in enumerate((0, 59, 60, 3599, 3600)):
        tell(provider, metered, 10**n, f"n{n}", timestamp=hour + at)
    comes_to(provider, metered, hour, hour + 7200, 11111)
    assert total(provider, metered, hour, hour + 60) == 11
    assert total(provider, metered, hour + 60, hour + 3600) == 1100
    assert total(provider, metered, hour + 3600, hour + 7200) == 10000
    summaries = provider.client.v1.billing.meters.event_summaries.list(
        metered.meter.id,
        {
            "customer": metered.customer,
            "start_time": hour,
            "end_time": hour + 7200,
            "value_grouping_window": "hour",
        },
    )
    by_hour = {one.start_time: one.aggregated_value for one in summaries.data if one.aggregated_value}
    assert by_hour == {hour: 1111, hour + 3600: 10000}
    assert all(one.end_time == one.start_time + 3600 for one in summaries.data)
    day = hour // 86400 * 86400
    assert total(provider, metered, day, day + 2 * 86400, value_grouping_window="day") == 11111


def test_what_a_rival_used_is_nobody_else_s(provider, metered, hour):
    tell(
        provider, metered, 1, "a", timestamp=hour,
        payload={"stripe_customer_id": metered.rival, "value": "7"},
    )  # fmt: skip
    tell(provider, metered, 5, "b", timestamp=hour)
    comes_to(provider, metered, hour, hour + 3600, 5)


@pytest.mark.parametrize(
    ("start", "end", "window"), [(1, 3600, None), (0, 3599, None), (60, 3600, "hour"), (3600, 7200, "day")]
)
def test_summaries_are_of_whole_minutes_hours_and_days(provider, metered, hour, start, end, window):
    day = hour // 86400 * 86400
    more = {"value_grouping_window": window} if window else {}
    with pytest.raises(stripe.InvalidRequestError):
        total(provider, metered, day + start, day + end, **more)


def test_an_event_can_be_cancelled(provider, metered, hour):
    tell(provider, metered, 5, "a", timestamp=hour)
    tell(provider, metered, 7, "b", timestamp=hour)
    comes_to(provider, metered, hour, hour + 3600, 12)
    cancelled = provider.client.v1.billing.meter_event_adjustments.create(
        {
            "event_name": metered.meter.event_name,
            "type": "cancel",
            "cancel": {"identifier": f"{provider.mark}-a"},
        }
    )
    assert cancelled.status in ("pending", "complete")
    comes_to(provider, metered, hour, hour + 3600, 7)


def test_usage_of_a_customer_who_is_not_there_is_taken_and_reported_later(provider, metered, hour):
    tell(
        provider, metered, 1, "lost", timestamp=hour,
        payload={"stripe_customer_id": "cus_of_nobody", "value": "3"},
    )  # fmt: skip
    found = []

    def look():
        listed = provider.client.v2.core.events.list(
            {"object_id": metered.meter.id, "types": ["v1.billing.meter.error_report_triggered"]}
        )
        found[:] = [provider.client.v2.core.events.retrieve(one.id) for one in listed.data]
        return bool(found)

    provider.eventually(look, "the report of an event that was refused later")
    (kind,) = found[0].data.reason.error_types
    assert kind.code == "meter_event_customer_not_found"
    assert kind.sample_errors[0].request.identifier == f"{provider.mark}-lost"
    assert found[0].related_object.id == metered.meter.id


def test_the_sum_times_the_price_is_the_invoice_to_the_cent(provider, metered):
    # 0.0001 cents a piece; now, since a period of Stripe's begins with the subscription.
    values = [1_234_567, 8_765_433, 4_999]
    for n, value in enumerate(values):
        tell(provider, metered, value, f"n{n}")
    preview = {}

    def look():
        preview["is"] = provider.client.v1.invoices.create_preview({"subscription": metered.subscription.id})
        return preview["is"].lines.data[0].quantity == sum(values)

    provider.eventually(look, "usage in the coming invoice")
    cents = int((sum(values) * Decimal("0.0001")).quantize(Decimal(1), ROUND_HALF_UP))
    invoice = preview["is"]
    assert (invoice.total, invoice.subtotal, invoice.currency) == (cents, cents, "usd")
    assert sum(line.amount for line in invoice.lines.data) == cents == 1000
    assert invoice.lines.data[0].pricing.price_details.price == metered.price.id


def test_events_can_be_sent_by_the_hundred(provider, metered, hour):
    session = provider.client.v2.billing.meter_event_session.create()
    events = [
        {
            "event_name": metered.meter.event_name,
            "identifier": f"{provider.mark}-{n}",
            "payload": {"stripe_customer_id": metered.customer, "value": "3"},
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(hour + n)),
        }
        for n in range(100)
    ]
    stream = provider.another(session.authentication_token)
    stream.v2.billing.meter_event_stream.create({"events": events})
    comes_to(provider, metered, hour, hour + 3600, 300)
