"""Billed usage: it adds up to the invoice, whatever it is split by, and stays within its tenant."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from gateway.rest.tests.conftest import Asker, key_of
from metering.invoices import draft
from metering.ledger import accounts
from metering.ledger.append import NewEntry, append
from metering.models import Account
from metering.models.ledger import EntryKind
from metering.receipts.tests import book
from tenants import services
from tenants.access import Scope
from tenants.scope import tenant_scope

AT = "/v1/billing/usage"
MINUTE = 60_000


@pytest.fixture
def other(acme: Any) -> Any:
    """Another project of hers."""
    return services.create_project(acme.tenant, "Other")


@pytest.fixture
def _used(house: Any, acme: Any, rival: Any, other: Any) -> None:
    book.priced(acme, "ours")
    book.priced(rival, "theirs")
    book.used(
        acme,
        book.stream(acme, "a", 2 * MINUTE, tags=["x", "y"]),
        book.stream(acme, "b.0", 3 * MINUTE + 1, tags=["=SUM(A1)"]),
        book.stream(acme, "b.1", 3 * MINUTE + 1, tags=["=SUM(A1)"]),
        book.stream(acme, "c", 90_000, kind="recorded", model="n", region="eu", tags=[]),
        book.stream(acme, "d", 12_345, project=str(other.id)),
    )
    book.used(rival, book.stream(rival, "a", 7 * MINUTE, tags=["theirs"]))
    back = NewEntry(
        EntryKind.CORRECTION, "twice", "reconcile:a", ms=-MINUTE, stream="a", from_ms=0, to_ms=MINUTE
    )
    append(acme.tenant.id, [back])
    append(acme.tenant.id, [NewEntry(EntryKind.CREDIT, "goodwill", "goodwill:1", amount=Decimal(-5))])


def invoice(household: Any) -> dict[str, Any]:
    with tenant_scope(household.tenant.id):
        first_day = accounts.account_of(household.tenant.id).period
    assert first_day is not None
    return draft(household.tenant.id, first_day)


SUMMARIES = {
    "project": "projects",
    "tag": "tags",
    "model": "models",
    "kind": "kinds",
    "region": "regions",
    "day": "days",
}


@pytest.mark.usefixtures("_used")
def test_it_agrees_with_the_invoice_to_the_millisecond(ask: Asker, acme: Any) -> None:
    document = invoice(acme)
    whole = ask.get(AT).body
    assert whole["ms"] == document["ms"] == 60_000 + 2 * 180_001 + 90_000 + 12_345
    assert whole["amount"] == str(sum(Decimal(one["amount"]) for one in document["streams"]))
    for name, summary in SUMMARIES.items():
        parts = {one["group"][name]: one["ms"] for one in ask.get(f"{AT}?group={name}").body["results"]}
        wanted = {one.get("id", one["name"]): one["ms"] for one in document["summary"][summary] if one["ms"]}
        assert parts == wanted, name
        if name != "tag":
            assert sum(parts.values()) == whole["ms"]


@pytest.mark.usefixtures("_used")
def test_the_same_by_when_it_was_processed_and_by_its_period(ask: Asker) -> None:
    today = timezone.now().date().isoformat()
    by_time = ask.get(f"{AT}?start={today}&group=hour,key").body
    by_period = ask.get(f"{AT}?period={today[:7]}&group=hour,key").body
    assert by_time["results"] == by_period["results"]
    assert by_time["ms"] == by_period["ms"]
    assert by_period["period"] == today[:7]
    assert by_time["results"][0]["group"]["hour"].startswith(today)
    assert ask.get(f"{AT}?period=2020-01&group=day").body["results"] == []


@pytest.mark.usefixtures("_used")
def test_a_key_without_billing_read_sees_its_own_project(acme: Any, other: Any, rival: Any) -> None:
    own = key_of(acme, [Scope.USAGE_READ])
    found = own.get(f"{AT}?group=project").body
    assert [one["group"]["project"] for one in found["results"]] == [str(acme.project.id)]
    assert found["ms"] == found["results"][0]["ms"] == 60_000 + 2 * 180_001 + 90_000
    assert own.get(f"{AT}?project={other.id}").body["ms"] == 0
    assert key_of(acme).get(f"{AT}?project={other.id}").body["ms"] == 12_345
    for asker in (own, key_of(acme)):
        assert asker.get(f"{AT}?project={rival.project.id}").body["ms"] == 0
        assert "theirs" not in str(asker.get(f"{AT}?group=tag").body)


FILTERS = {
    "tag=x": 60_000, "tag=theirs": 0, "model=n": 90_000, "kind=recorded": 90_000, "kind=live": 432_347,
    "region=eu": 90_000, "model=m&region=local": 432_347,
}  # fmt: skip


@pytest.mark.usefixtures("_used")
def test_it_is_filtered(ask: Asker, acme: Any) -> None:
    assert {query: ask.get(f"{AT}?{query}").body["ms"] for query in FILTERS} == FILTERS
    assert ask.get(f"{AT}?key={acme.key.id}").body["ms"] == 522_347


@pytest.mark.usefixtures("_used")
def test_days_are_of_the_accounts_time_zone(ask: Asker, acme: Any) -> None:
    with tenant_scope(acme.tenant.id):
        Account.objects.update(time_zone="Pacific/Kiritimati")
    late = "2026-01-31T23:00:00+00:00"
    book.used(acme, book.stream(acme, "late", 1000, processed_at=late))
    found = ask.get(f"{AT}?start=2026-01-31&end=2026-01-31&group=day,hour").body
    assert found["time_zone"] == "Pacific/Kiritimati"
    assert [one["group"] for one in found["results"]] == [
        {"day": "2026-02-01", "hour": "2026-01-31T23:00:00Z"}
    ]


@pytest.mark.usefixtures("_used")
def test_as_csv_it_is_the_same_and_runs_nothing(ask: Asker) -> None:
    answer = ask.get(f"{AT}?group=tag,model&format=csv")
    assert answer.headers["Content-Type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.body)))
    found = {(row["tag"], row["model"]): int(row["ms"]) for row in rows}
    assert found == {
        ("", "n"): 90_000, ("'=SUM(A1)", "m"): 360_002, ("call", "m"): 12_345, ("x", "m"): 60_000,
        ("y", "m"): 60_000,
    }  # fmt: skip
    [total] = csv.DictReader(io.StringIO(ask.get(f"{AT}?format=csv").body))
    assert (int(total["ms"]), total["currency"]) == (522_347, "USD")


NONSENSE = {
    "group=mood": "group", "group=day,day": "group", "group=,": "group", "period=2026-13": "period",
    "period=0000-01": "period", "period=2026-11&start=2026-11-01": "period, start", "start=soon": "start",
    "start=2020-01-01": "366 days", "project=x": "project", "key=x": "key", "tag=%00": "tag",
    "kind=odd": "kind", "format=xml": "format",
}  # fmt: skip


def test_what_makes_no_sense_is_named(ask: Asker) -> None:
    for query, named in NONSENSE.items():
        answer = ask.get(f"{AT}?{query}")
        assert (answer.status, answer.code) == (400, "bad_parameter"), query
        assert named in answer.body["details"], query


@pytest.mark.usefixtures("_used")
def test_more_rows_than_anybody_reads_are_refused(ask: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metering.usage_report.MAX_ROWS", 2)
    assert ask.get(f"{AT}?group=kind").status == 200
    assert "10000 rows" in ask.get(f"{AT}?group=tag").body["details"]
