"""What a draft says of ledger entries in a real PostgreSQL, with two tenants in it."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from metering.invoices import draft, finalise
from metering.invoices.errors import PeriodMalformed
from metering.invoices.read import drafted, streams_of
from metering.invoices.tests.month import (
    charge,
    entries,
    give,
    line,
    plan,
    put_on,
    settle,
    take_back,
    use,
    utc,
)
from metering.models import Counter
from metering.plans import create_version
from stenogate import bill
from tenants.scope import tenant_scope

JANUARY = date(2024, 1, 1)


@pytest.fixture
def priced(acme: Any, rival: Any, clock: Any) -> None:
    for who, price in ((acme, "0.06"), (rival, "0.6")):
        put_on(who, plan(f"plan-of-{who.tenant.slug}", lines=[line("Audio", (None, price))]))


def of(household: Any, month: date = JANUARY) -> dict[str, Any]:
    """What the customer's own check has nothing against."""
    document = draft(household.tenant.id, month)
    assert bill.check(document) == []
    return document


def types(document: dict[str, Any]) -> list[tuple[str, int, str]]:
    return [(one["type"], one["ms"], one["amount"]) for one in document["lines"]]


def test_a_period_without_usage_is_a_document_of_nothing(acme: Any, rival: Any, clock: Any) -> None:
    document = of(acme)
    assert (document["lines"], document["streams"], document["prices"]) == ([], [], [])
    assert (document["total"], document["due"], document["ms"]) == ("0.00", "0.00", 0)
    assert document["state"] == "draft"
    assert document["period"]["last_day"] == "2024-01-31"
    assert document["customer"]["legal_name"] == "Acme"


@pytest.mark.parametrize("day", [date(2024, 1, 2), date(1, 1, 1), date(9999, 12, 1)])
def test_a_period_is_named_by_its_first_day(acme: Any, rival: Any, clock: Any, day: date) -> None:
    settle(acme, time_zone="Europe/Berlin")
    with pytest.raises(PeriodMalformed):
        draft(acme.tenant.id, day)


@pytest.mark.usefixtures("priced")
def test_it_says_what_one_tenant_used_and_nothing_of_the_other(acme: Any, rival: Any, clock: Any) -> None:
    clock.set(2024, 1, 10)
    use(acme, clock.now, "a", 90_001, tags=("x", "y"))
    use(rival, clock.now, "r", 60_000)
    document = of(acme)
    assert types(document) == [("usage", 90_001, "0.090001")]
    (stream,) = document["streams"]
    assert stream["ranges"] == [{"stream": "a", "from_ms": 0, "to_ms": 90_001}]
    assert (stream["request_id"], stream["ms"], stream["late"]) == ("a", 90_001, False)
    assert document["subtotal"] == "0.090001"
    assert (document["total"], document["rounding"]) == ("0.09", "-0.000001")
    assert document["summary"]["projects"] == [
        {"id": str(acme.project.id), "name": "Calls", "ms": 90_001, "amount": "0.090001"}
    ]
    assert [tag["name"] for tag in document["summary"]["tags"]] == ["x", "y"]
    assert of(rival)["total"] == "0.60"
    with tenant_scope(acme.tenant.id):
        assert Counter.objects.get(period=JANUARY).ms == document["ms"]
    last = entries(acme)[-1]
    assert document["ledger"]["head"] == bytes(last.hash).hex()
    assert (document["ledger"]["first_seq"], document["ledger"]["last_seq"]) == (1, last.seq)


@pytest.mark.usefixtures("priced")
def test_channels_of_one_request_are_one_line(acme: Any, rival: Any, clock: Any) -> None:
    for channel in (0, 1):
        use(acme, clock.now, f"call.{channel}", 1000)
    (stream,) = of(acme)["streams"]
    assert (stream["request_id"], stream["ms"]) == ("call", 2000)
    assert [one["stream"] for one in stream["ranges"]] == ["call.0", "call.1"]


@pytest.mark.usefixtures("priced")
def test_each_entry_is_in_one_line_once(acme: Any, rival: Any, clock: Any) -> None:
    clock.set(2024, 1, 10)
    use(acme, clock.now, "a", 600_000)
    take_back(acme, "a", 0, 60_000)
    use(acme, clock.now, "b", 30_000)
    charge(acme, "2.5")
    charge(acme, "-1.25", "Goodwill")
    give(acme, "40", "Card", "stripe:pi_1")
    give(acme, "3")
    document = of(acme)
    assert types(document) == [
        ("usage", 630_000, "0.630000"), ("correction", -60_000, "-0.060000"), ("adjustment", 0, "2.500000"),
        ("adjustment", 0, "-1.250000"),
    ]  # fmt: skip
    assert document["subtotal"] == "1.820000"
    assert [(one["type"], one["amount"]) for one in document["credits"]] == [
        ("payment", "-40.000000"), ("credit", "-3.000000"),
    ]  # fmt: skip
    everything = sum(entry.amount for entry in entries(acme))
    assert Decimal(document["ledger"]["amount"]) == everything == Decimal("1.82") - 43
    assert [one["ms"] for one in document["streams"]] == [540_000, 30_000]
    assert document["streams"][0]["corrected"] == [{"stream": "a", "from_ms": 0, "to_ms": 60_000}]
    assert sum(Decimal(one["amount"]) for one in document["summary"]["days"]) == Decimal("1.82")


@pytest.mark.usefixtures("priced")
def test_what_a_cap_kept_from_being_charged_is_a_line(acme: Any, rival: Any, clock: Any) -> None:
    settle(acme, hard_cap=Decimal("0.05"))
    use(acme, clock.now, "a", 80_000)
    document = of(acme)
    assert types(document) == [("usage", 80_000, "0.080000"), ("waived", 0, "-0.030000")]
    assert document["total"] == "0.05"
    assert document["streams"][0]["waived"] == "0.030000"


@pytest.mark.usefixtures("priced")
def test_what_is_taken_back_is_taken_of_what_was_not_charged_first(acme: Any, rival: Any, clock: Any) -> None:
    settle(acme, hard_cap=Decimal("0.05"))
    use(acme, clock.now, "a", 80_000)
    take_back(acme, "a", 0, 40_000)
    document = of(acme)
    assert types(document) == [
        ("usage", 80_000, "0.080000"), ("correction", -40_000, "-0.040000"),
    ]  # fmt: skip
    assert document["total"] == "0.04"
    assert document["streams"][0]["amount"] == "0.040000"


def test_what_is_taken_back_of_one_price_may_have_been_waived_of_another(
    acme: Any, rival: Any, clock: Any
) -> None:
    prices = [line(kind, (None, "0.06"), kind=kind) for kind in ("live", "recorded")]
    put_on(acme, plan("kinds", lines=prices))
    settle(acme, hard_cap=Decimal("0.05"))
    use(acme, clock.now, "a", 40_000, kind="live")
    use(acme, clock.now, "b", 40_000, kind="recorded")
    take_back(acme, "a", 0, 20_000)
    document = of(acme)
    assert types(document) == [
        ("usage", 40_000, "0.040000"), ("correction", -20_000, "-0.020000"), ("usage", 40_000, "0.040000"),
        ("waived", 0, "-0.010000"),
    ]  # fmt: skip
    assert document["total"] == "0.05"


@pytest.mark.usefixtures("priced")
def test_what_was_waived_of_an_earlier_month_is_not_on_this_invoice(
    acme: Any, rival: Any, clock: Any
) -> None:
    settle(acme, hard_cap=Decimal("0.05"))
    use(acme, clock.now, "a", 80_000)
    clock.set(2024, 2, 10)
    take_back(acme, "a", 0, 40_000)
    document = of(acme, date(2024, 2, 1))
    assert types(document) == [("earlier_correction", -40_000, "-0.010000")]
    assert (document["subtotal"], document["streams"][0]["waived"]) == ("-0.010000", "0.000000")
    assert entries(acme)[-1].waived == Decimal("-0.03")


@pytest.mark.usefixtures("priced")
def test_what_a_cap_kept_of_an_adjustment_is_in_the_same_line(acme: Any, rival: Any, clock: Any) -> None:
    settle(acme, hard_cap=Decimal("0.05"))
    use(acme, clock.now, "a", 60_000)
    charge(acme, "2.5")
    document = of(acme)
    assert types(document) == [
        ("usage", 60_000, "0.060000"), ("adjustment", 0, "2.500000"), ("waived", 0, "-2.510000"),
    ]  # fmt: skip
    assert document["total"] == "0.05"


def test_what_cost_nothing_in_one_currency_stands_beside_what_cost_in_another(
    acme: Any, rival: Any, clock: Any
) -> None:
    put_on(acme, plan("free", "USD", [line("Trial", (None, "0"))]))
    use(acme, clock.set(2024, 1, 5), "trial")
    put_on(acme, plan("euro", "EUR", [line("Audio", (None, "0.06"))]))
    use(acme, clock.set(2024, 1, 6), "paid")
    document = of(acme)
    assert (document["currency"], document["total"]) == ("EUR", "0.06")
    assert [one["currency"] for one in document["prices"]] == ["USD", "EUR"]


def test_lines_of_one_name_say_whose_they_are(acme: Any, rival: Any, clock: Any) -> None:
    business = plan("business", lines=[line("Audio", (None, "0.06")), line("Recorded", kind="recorded")])
    put_on(acme, business)
    use(acme, clock.set(2024, 1, 5), "first")
    use(acme, clock.now, "recorded", kind="recorded")
    create_version(business, utc(2024, 1, 10), "USD", [line("Audio", (None, "0.03"))])
    use(acme, clock.set(2024, 1, 11), "second")
    document = of(acme)
    assert [one["description"] for one in document["lines"]] == [
        "Audio (Business, version 1)", "Recorded", "Audio (Business, version 2)",
    ]  # fmt: skip
    assert [one["label"] for one in document["prices"]] == ["Audio", "Recorded", "Audio"]


@pytest.mark.usefixtures("priced")
def test_prepaid_credit_is_no_price_and_leaves_nothing_due(acme: Any, rival: Any, clock: Any) -> None:
    settle(acme, mode="prepaid")
    give(acme, "10", "Bank transfer")
    use(acme, clock.now, "a", 60_000)
    document = of(acme)
    assert types(document) == [("usage", 60_000, "0.060000")]
    assert (document["total"], document["due"], document["mode"]) == ("0.06", "0.00", "prepaid")


def test_included_minutes_and_tiers_are_parts_that_add_up(acme: Any, rival: Any, clock: Any) -> None:
    tiered = line("Audio", (100_000, "0.0059"), (None, "0.0043"), included_ms=50_000)
    put_on(acme, plan("tiered", lines=[tiered]))
    use(acme, clock.now, "a", 200_007)
    (usage,) = of(acme)["lines"]
    spans = [(part["from_ms"], part["to_ms"], part["per_minute"]) for part in usage["parts"]]
    assert spans == [(0, 50_000, "0"), (50_000, 150_000, "0.0059"), (150_000, 200_007, "0.0043")]
    assert sum(Decimal(part["amount"]) for part in usage["parts"]) == Decimal(usage["amount"])
    assert usage["included_ms"] == 50_000


def test_audio_that_no_price_fits_costs_nothing_and_is_shown(acme: Any, rival: Any, clock: Any) -> None:
    put_on(acme, plan("recorded", lines=[line(kind="recorded")]))
    use(acme, clock.now, "a", 5000)
    document = of(acme)
    assert types(document) == [("usage", 5000, "0.000000")]
    assert document["lines"][0]["price"] is None
    assert document["prices"] == []


@pytest.mark.usefixtures("priced")
def test_late_usage_is_in_the_period_it_is_charged_in(acme: Any, rival: Any, clock: Any) -> None:
    clock.set(2024, 2, 2, 23, 59, 59)
    use(acme, utc(2024, 1, 31, 23), "in time")
    clock.set(2024, 2, 3)
    use(acme, utc(2024, 1, 31, 23), "late", 7000)
    assert [one["request_id"] for one in of(acme)["streams"]] == ["in time"]
    (stream,) = of(acme, date(2024, 2, 1))["streams"]
    assert (stream["request_id"], stream["late"], stream["ms"]) == ("late", True, 7000)
    (day,) = of(acme, date(2024, 2, 1))["summary"]["days"]
    assert day["name"] == "2024-01-31"


@pytest.mark.usefixtures("priced")
def test_a_correction_of_a_closed_period_is_a_line_of_its_own(acme: Any, rival: Any, clock: Any) -> None:
    use(acme, clock.now, "a", 600_000)
    clock.set(2024, 2, 10)
    use(acme, clock.now, "b", 60_000)
    take_back(acme, "a", 0, 120_000)
    assert types(of(acme, date(2024, 2, 1))) == [
        ("usage", 60_000, "0.060000"), ("earlier_correction", -120_000, "-0.120000")
    ]  # fmt: skip
    assert of(acme)["total"] == "0.60"


@pytest.mark.parametrize(
    ("zone", "month", "first", "after"),
    [
        ("UTC", date(2024, 2, 1), utc(2024, 2, 1), utc(2024, 3, 1)),  # a leap year's
        ("Pacific/Auckland", date(2024, 2, 1), utc(2024, 1, 31, 11), utc(2024, 2, 29, 11)),
        ("America/Los_Angeles", date(2024, 2, 1), utc(2024, 2, 1, 8), utc(2024, 3, 1, 8)),
        ("Europe/Berlin", date(2024, 3, 1), utc(2024, 2, 29, 23), utc(2024, 3, 31, 22)),  # 23 h on the 31st
        ("Europe/Berlin", date(2024, 10, 1), utc(2024, 9, 30, 22), utc(2024, 10, 31, 23)),  # 25 h on the 27th
    ],
)
@pytest.mark.usefixtures("priced")
def test_a_period_is_a_month_where_the_customer_is(
    acme: Any, rival: Any, clock: Any, zone: str, month: date, first: Any, after: Any
) -> None:
    settle(acme, time_zone=zone)
    clock.now = after
    before = first.replace(microsecond=0)
    use(acme, before, "first", 1000)
    use(acme, after, "after", 4000)
    last = after.timestamp() - 0.000001
    use(acme, after.fromtimestamp(last, after.tzinfo), "last", 2000)
    use(acme, first.fromtimestamp(first.timestamp() - 0.001, first.tzinfo), "before", 8000)
    document = draft(acme.tenant.id, month)
    assert {one["request_id"] for one in document["streams"] if not one["late"]} == {"first", "last"}
    assert document["period"]["starts_at"] == first.isoformat().replace("+00:00", "Z")
    assert document["period"]["ends_at"] == after.isoformat().replace("+00:00", "Z")
    days = {one["name"] for one in document["summary"]["days"]}
    assert days == {month.isoformat(), document["period"]["last_day"]}


@pytest.mark.usefixtures("priced")
def test_a_day_is_the_customers_also_when_the_clock_changes(acme: Any, rival: Any, clock: Any) -> None:
    settle(acme, time_zone="Europe/Berlin")
    clock.set(2024, 11, 2)
    # 27 October 2024 has 25 hours there: from 22:00 UTC of the 26th to 23:00 UTC of the 27th.
    use(acme, utc(2024, 10, 26, 21, 59, 59), "26th", 1000)
    use(acme, utc(2024, 10, 26, 22), "27th, first", 2000)
    use(acme, utc(2024, 10, 27, 22, 59, 59), "27th, last", 4000)
    use(acme, utc(2024, 10, 27, 23), "28th", 8000)
    days = {day["name"]: day["ms"] for day in draft(acme.tenant.id, date(2024, 10, 1))["summary"]["days"]}
    assert days == {"2024-10-26": 1000, "2024-10-27": 6000, "2024-10-28": 8000}


@pytest.mark.parametrize(
    ("currency", "per_minute", "subtotal", "total"),
    [
        ("JPY", "1.5", "1.500000", "2"),
        ("KWD", "0.0025", "0.002500", "0.003"),
        ("USD", "0.005", "0.005000", "0.01"),
    ],
)
def test_a_total_is_rounded_to_the_currencys_coins(
    acme: Any, rival: Any, clock: Any, currency: str, per_minute: str, subtotal: str, total: str
) -> None:
    put_on(acme, plan("local", currency, [line("Audio", (None, per_minute))]))
    use(acme, clock.now, "a", 60_000)
    document = of(acme)
    assert (document["currency"], document["subtotal"], document["total"]) == (currency, subtotal, total)


@pytest.mark.usefixtures("priced")
def test_of_too_many_streams_the_document_lists_none_and_the_rest_is_read_from_the_ledger(
    acme: Any, rival: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        use(acme, clock.now, f"s{number}", 1000)
    whole = of(acme)["streams"]
    monkeypatch.setattr("metering.invoices.document.MAX_LISTED", 2)
    document, streams = drafted(acme.tenant.id, JANUARY)
    assert (document["streams"], document["streams_count"], document["streams_listed"]) == ([], 3, False)
    assert list(streams) == whole
    invoice = finalise(acme.tenant.id, JANUARY, clock.set(2024, 2, 3))
    assert invoice.document["streams"] == []
    assert list(streams_of(invoice)) == whole
