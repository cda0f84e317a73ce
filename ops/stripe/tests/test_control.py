import time

import httpx
import pytest


def test_the_clock_goes_stands_and_is_real_again(control):
    def is_real(now):
        return began <= now <= time.time()

    began = int(time.time())
    assert is_real(control("clock")["now"])
    assert is_real(control("clock", advance=3600)["now"] - 3600)
    assert control("clock", at=1_800_000_000, stand=True)["now"] == 1_800_000_000
    assert control("clock", advance=60)["now"] == 1_800_000_060
    assert control("clock")["now"] == 1_800_000_060
    assert control("clock", at="2026-11-10T12:00:00+00:00")["now"] == 1_794_312_000
    assert is_real(control("clock", real=True)["now"])


def test_it_can_go_on_from_where_it_stood(control):
    control("clock", at=1_800_000_000, stand=True)
    assert 0 <= control("clock", stand=False)["now"] - 1_800_000_000 <= 5
    assert control("clock")["ahead"] > 0


def test_good_events_can_be_rejected_later(control, client, shop, tell, totals):
    control("reject", times=1, code="meter_event_invalid_value")
    tell(5, "a")
    tell(7, "b")
    assert totals() == {shop.acme: 7}
    control("turn")
    (event,) = client.v2.core.events.list({"types": ["v1.billing.meter.error_report_triggered"]}).data
    assert event.data.reason.error_types[0].code == "meter_event_invalid_value"
    states = {one["identifier"]: one["state"] for one in control("received")["events"]}
    assert states == {"a": "rejected", "b": "taken"}


def test_what_was_received_can_be_narrowed(control, shop, tell):
    tell(5, "a")
    tell(7, "b", customer=shop.rival)
    found = control("received", customer=shop.rival)
    assert [one["identifier"] for one in found["events"]] == ["b"]
    assert found["totals"] == [{"customer": shop.rival, "event_name": "audio", "value": 7}]


def test_after_a_reset_there_is_nothing(control, client, shop, tell):
    tell(5, "a")
    control("clock", advance=3600)
    control("reset")
    assert client.v1.customers.list().data == []
    assert control("received") == {"events": [], "totals": []}
    assert control("clock")["ahead"] == 0


@pytest.mark.parametrize(("name", "status"), [("nothing", 404), ("invoice", 400), ("lag", 400)])
def test_what_is_not_understood_is_refused(local_stripe, name, status):
    answer = httpx.post(f"{local_stripe.url}/_control/{name}", json={})
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


def test_what_is_no_json_is_refused(local_stripe):
    assert httpx.post(f"{local_stripe.url}/_control/clock", content=b"{").status_code == 400
    assert httpx.post(f"{local_stripe.url}/_control/clock", content=b"[]").status_code == 400
