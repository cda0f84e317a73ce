"""Invoices as a customer gets them, in every form, and nobody else's."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from gateway.rest.tests.conftest import Asker, key_of
from metering import invoices, periods
from metering.receipts.tests import book
from tenants.access import Scope

AT = "/v1/billing/invoices"


@pytest.fixture
def final(house: Any, acme: Any, rival: Any) -> str:
    """Number of a final invoice of hers; the rival has one too."""
    numbers = []
    for household in (acme, rival):
        book.used(household, book.stream(household, "a", 120_000))
        period = periods.period_of(timezone.now(), "UTC")
        later = period.ends_at + timedelta(hours=49)
        numbers.append(invoices.finalise(household.tenant.id, period.first_day, later).number)
    return numbers[0]


def test_a_final_invoice_is_listed_and_had_in_every_form(ask: Asker, final: str) -> None:
    [listed] = ask.get(AT).body["invoices"]
    assert (listed["number"], listed["kind"], listed["ms"]) == (final, "invoice", 120_000)
    document = ask.get(f"{AT}/{final}").body
    assert (document["number"], document["state"], document["streams"][0]["ms"]) == (final, "final", 120_000)
    assert ask.get(f"{AT}/{final}.json").body == document
    forms = {suffix: ask.get(f"{AT}/{final}{suffix}") for suffix in (".html", ".pdf", ".csv")}
    assert [form.headers["Content-Type"].partition(";")[0] for form in forms.values()] == [
        "text/html", "application/pdf", "text/csv",
    ]  # fmt: skip
    assert final in forms[".html"].body
    assert forms[".pdf"].body.startswith(b"%PDF")
    assert len(forms[".csv"].body.splitlines()) == 3
    assert forms[".pdf"].headers["Content-Disposition"] == f'inline; filename="{final}.pdf"'


def test_the_draft_of_now(ask: Asker, acme: Any, rival: Any) -> None:
    book.used(acme, book.stream(acme, "a", 5000))
    book.used(rival, book.stream(rival, "a", 7000))
    found = ask.get(f"{AT}/current").body
    assert (found["state"], found["number"], found["ms"]) == ("draft", "", 5000)
    assert ask.get(f"{AT}/current.pdf").body.startswith(b"%PDF")
    assert ask.get(AT).body == {"invoices": [], "next_cursor": None}


def test_the_draft_of_a_month_with_very_many_streams_has_them_all(
    ask: Asker, acme: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    book.used(acme, book.stream(acme, "a", 5000), book.stream(acme, "b", 6000))
    monkeypatch.setattr("metering.invoices.document.MAX_LISTED", 1)
    found = ask.get(f"{AT}/current").body
    assert (found["streams_listed"], found["streams_count"]) == (True, 2)
    assert [stream["request_id"] for stream in found["streams"]] == ["a", "b"]
    rows = list(csv.DictReader(io.StringIO(ask.get(f"{AT}/current.csv").body)))
    assert [row["request_id"] for row in rows if row["line"] == "stream"] == ["a", "b"]


def test_whose_invoices_are_whose(ask: Asker, acme: Any, rival: Any, final: str) -> None:
    mallory = key_of(rival)
    assert mallory.get(f"{AT}/{final}").code == "unknown_id"
    assert [one["number"] for one in mallory.get(AT).body["invoices"]] != [final]
    for number in ("2020-000001", "nothing", "%00", "x" * 100, f"{final}.exe"):
        assert ask.get(f"{AT}/{number}").code == "unknown_id", number
    for path in (AT, f"{AT}/{final}", f"{AT}/current"):
        assert key_of(acme, [Scope.USAGE_READ]).get(path).code == "scope_missing"
