"""Invoices that become final, once, with numbers without gaps; and a month reckoned a second time."""

from __future__ import annotations

import threading
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Any

import pytest
from django.db import ProgrammingError, connection, transaction

from metering.invoices import finalise, finalise_due
from metering.invoices.errors import EarlierFirst, NothingToInvoice, PeriodNotOver
from metering.invoices.tests.month import entries, event, line, plan, put_on, settle, take_back, use, utc
from metering.ledger.post import post_due
from metering.models import Invoice, LedgerEntry, Unposted
from metering.recording import record
from stenogate import bill
from tenants.errors import RoleNotAllowed
from tenants.models import AuditEntry
from tenants.scope import staff_scope, tenant_scope

JANUARY, FEBRUARY = date(2024, 1, 1), date(2024, 2, 1)


@pytest.fixture
def used(acme: Any, rival: Any, clock: Any) -> None:
    """A minute of Acme's and ten of Rival's in January."""
    both = plan("both", lines=[line("Audio", (None, "0.06"))])
    for who, ms in ((acme, 60_000), (rival, 600_000)):
        put_on(who, both)
        use(who, utc(2024, 1, 10), f"of-{who.tenant.slug}", ms)


@pytest.mark.usefixtures("used")
def test_it_is_final_from_48_hours_after_its_end_and_once(
    acme: Any, rival: Any, clock: Any, staff: Any
) -> None:
    with pytest.raises(PeriodNotOver, match="draft"):
        finalise(acme.tenant.id, JANUARY, clock.set(2024, 1, 31, 23, 59), force=True)
    with pytest.raises(PeriodNotOver, match="2024-02-03 00:00 UTC"):
        finalise(acme.tenant.id, JANUARY, clock.set(2024, 2, 2, 23, 59))
    invoice = finalise(acme.tenant.id, JANUARY, clock.set(2024, 2, 3), actor=staff)
    again = finalise(acme.tenant.id, JANUARY, clock.set(2024, 2, 4))
    assert (invoice.number, again.number) == ("2024-000001", "2024-000001")
    document = invoice.document
    assert (document["state"], document["issued_on"], document["due_on"]) == (
        "final",
        "2024-02-03",
        "2024-02-17",
    )
    assert (invoice.total, invoice.ms) == (Decimal("0.06"), 60_000)
    assert [one["request_id"] for one in document["streams"]] == ["of-acme"]
    with tenant_scope(acme.tenant.id):
        told = AuditEntry.objects.get(action="invoice.finalised")
        assert (told.subject, told.details["number"]) == (invoice.id, "2024-000001")
        assert told.actor == "staff staff@stenogate.example"


@pytest.mark.usefixtures("used")
def test_only_staff_make_an_invoice_final(acme: Any, rival: Any, clock: Any) -> None:
    with pytest.raises(RoleNotAllowed):
        finalise(acme.tenant.id, JANUARY, clock.set(2024, 2, 3), actor=acme.owner)


@pytest.mark.usefixtures("used")
def test_what_comes_after_a_forced_one_is_in_the_next(acme: Any, rival: Any, clock: Any) -> None:
    first = finalise(acme.tenant.id, JANUARY, clock.set(2024, 2, 1), force=True)
    use(acme, utc(2024, 1, 31, 12), "late", 30_000)
    second = finalise(acme.tenant.id, FEBRUARY, clock.set(2024, 3, 3))
    assert [(one["request_id"], one["late"]) for one in second.document["streams"]] == [("late", True)]
    assert (first.ms, second.ms) == (60_000, 30_000)
    assert second.number == "2024-000002"


@pytest.mark.usefixtures("used")
def test_without_entries_there_is_no_invoice_and_no_number(acme: Any, rival: Any, clock: Any) -> None:
    with pytest.raises(NothingToInvoice):
        finalise(acme.tenant.id, FEBRUARY, clock.set(2024, 3, 3))
    assert finalise(acme.tenant.id, JANUARY, clock.now).number == "2024-000001"


@pytest.mark.usefixtures("used")
def test_a_period_waits_for_those_before_it(acme: Any, rival: Any, clock: Any) -> None:
    use(acme, clock.set(2024, 2, 10), "february")
    with pytest.raises(EarlierFirst, match="2024-01 has no invoice yet"):
        finalise(acme.tenant.id, FEBRUARY, clock.set(2024, 3, 3))
    assert [one.period for one in finalise_due(clock.now) if one.tenant_id == acme.tenant.id] == [
        JANUARY, FEBRUARY,
    ]  # fmt: skip


@pytest.mark.usefixtures("used")
def test_a_number_is_given_back_with_the_rest(acme: Any, rival: Any, clock: Any) -> None:
    clock.set(2024, 2, 3)
    with tenant_scope(acme.tenant.id):
        assert finalise(acme.tenant.id, JANUARY, clock.now).number == "2024-000001"
        transaction.set_rollback(True)
    assert finalise(rival.tenant.id, JANUARY, clock.now).number == "2024-000001"


@pytest.mark.usefixtures("used")
def test_numbers_begin_anew_with_the_year_of_issue(acme: Any, rival: Any, clock: Any) -> None:
    use(acme, clock.set(2024, 12, 31), "december")
    assert finalise(acme.tenant.id, JANUARY, clock.now).number == "2024-000001"
    assert finalise(acme.tenant.id, date(2024, 12, 1), clock.set(2025, 1, 3)).number == "2025-000001"


@pytest.mark.usefixtures("used")
def test_a_final_invoice_cannot_be_changed_or_deleted(acme: Any, rival: Any, clock: Any) -> None:
    invoice = finalise(acme.tenant.id, JANUARY, clock.set(2024, 2, 3))
    for change in (lambda rows: rows.update(total=0), lambda rows: rows._raw_delete("default")):
        with (
            pytest.raises(ProgrammingError, match="permission denied for table metering_invoice"),
            staff_scope(),
            transaction.atomic(),
        ):
            change(Invoice.objects.filter(id=invoice.id))


@pytest.mark.usefixtures("used")
def test_everything_that_is_due_becomes_final_and_a_second_run_does_nothing(
    acme: Any, rival: Any, clock: Any
) -> None:
    use(acme, clock.set(2024, 3, 5), "march")
    settle(rival, time_zone="America/Los_Angeles")
    # In Los Angeles January ended eight hours later.
    assert [one.number for one in finalise_due(clock.set(2024, 2, 3))] == ["2024-000001"]
    made = finalise_due(clock.set(2024, 4, 20))
    assert sorted((one.tenant_id, one.period) for one in made) == sorted(
        [(acme.tenant.id, date(2024, 3, 1)), (rival.tenant.id, JANUARY)]
    )
    assert finalise_due(clock.now) == []
    assert {one.number for one in made} == {"2024-000002", "2024-000003"}


@pytest.mark.usefixtures("used")
def test_one_that_cannot_be_keeps_no_other_waiting(
    acme: Any, rival: Any, clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = sorted((acme, rival), key=lambda who: who.tenant.id)
    (entry,) = entries(first)
    # Somebody puts in what no price gives.
    entry.pk, entry.seq, entry.amount = None, 2, entry.amount + 1
    with tenant_scope(first.tenant.id):
        entry.save(force_insert=True)
    made = finalise_due(clock.set(2024, 2, 3))
    assert [one.tenant_id for one in made] == [second.tenant.id]
    assert "ledger_disagrees" in caplog.text
    assert [one.number for one in made] == ["2024-000001"]


@pytest.mark.usefixtures("used")
def test_one_that_cannot_be_told_of_keeps_no_other_waiting(
    clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def tell(invoice: Invoice) -> None:
        raise OSError("the broker is away")

    assert len(finalise_due(clock.set(2024, 2, 3), tell)) == 2
    assert caplog.text.count("metering.finalise_invoices: tenant") == 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("used")
def test_many_at_once_leave_no_gap_and_give_no_number_twice(acme: Any, rival: Any, clock: Any) -> None:
    for month in range(2, 7):
        for who in (acme, rival):
            use(who, clock.set(2024, month, 15), f"{month}-{who.tenant.slug}")
    wanted = [(who.tenant.id, date(2024, month, 1)) for month in range(1, 7) for who in (acme, rival)]
    clock.set(2024, 8, 1)
    start = threading.Barrier(8)
    made: list[str] = []
    failed: list[BaseException] = []

    def run(number: int) -> None:
        start.wait()
        try:
            # Everybody in an order of their own, but each tenant's months one after the other.
            order = Random(number).sample(wanted, len(wanted))
            months = {tenant: sorted(month for one, month in wanted if one == tenant) for tenant, _ in wanted}
            for tenant, month in [(tenant, months[tenant].pop(0)) for tenant, _ in order]:
                made.append(finalise(tenant, month, clock.now).number)
        except BaseException as error:
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
    assert len(made) == 8 * 12
    assert set(made) == {f"2024-{number:06d}" for number in range(1, 13)}
    with staff_scope():
        assert Invoice.objects.count() == 12


# ---- a month, reckoned from the raw ranges by another way

FIRST = {"live": (120_000, [(600_000, "0.0059"), (None, "0.0043")]), "recorded": (0, [(None, "0.0021")])}
SECOND = {"live": (0, [(None, "0.0077")]), "recorded": (30_000, [(90_000, "0.003"), (None, "0.0011")])}
OTHER = {"live": (0, [(None, "0.0123456789")]), "recorded": (0, [(None, "0.01")])}


def priced(prices: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        line(kind.capitalize(), *tiers, kind=kind, included_ms=free) for kind, (free, tiers) in prices.items()
    ]


def reckoned(ms: int, free: int, tiers: list[tuple[int | None, str]]) -> Fraction:
    """To the millionth, millisecond by tier, with fractions and no code of ours."""
    left, begins, cost = max(0, ms - free), 0, Fraction(0)
    for up_to, price in tiers:
        here = left if up_to is None else min(left, up_to - begins)
        cost += Fraction(price) * here / 60_000
        left -= here
        begins = up_to or 0
    return Fraction(int(cost * 10**6 + Fraction(1, 2)), 10**6)


def test_a_month_agrees_with_its_raw_ranges(acme: Any, rival: Any, clock: Any) -> None:
    from metering.plans import create_version

    random = Random(2024)
    # A first plan, a new version of it on the 10th, and another plan from the 20th on.
    business, scale = plan("business", lines=priced(FIRST)), plan("scale", lines=priced(OTHER))
    put_on(acme, business)
    put_on(rival, scale)
    create_version(business, utc(2024, 1, 10), "USD", priced(SECOND))
    settle(acme, time_zone="Europe/Berlin")
    ms: dict[tuple[int, str], int] = {}
    days: dict[str, int] = {}
    for day in range(1, 31):
        if day == 20:
            clock.set(2024, 1, 20)
            put_on(acme, scale)
        for number in range(4):
            at = clock.set(2024, 1, day, 5 * number + 1, random.randrange(60), random.randrange(60))
            which = 2 if day >= 20 else 1 if day >= 10 else 0
            kind, total = random.choice(["live", "recorded"]), random.randrange(1, 90_000)
            stream, start, ends = f"{day}-{number}", 0, sorted({random.randrange(1, total + 1), total})
            ranges = []
            for end in ends:
                ranges.append((start, end))
                start = end
            # Out of order, each twice, and another tenant's between them.
            events = [event(acme, at, stream, from_ms=low, to_ms=high, kind=kind) for low, high in ranges]
            record([*reversed(events), event(rival, at, stream, total, kind=kind)])
            post_due()
            record(events)
            ms[which, kind] = ms.get((which, kind), 0) + total
            name = (at + timedelta(hours=1)).date().isoformat()
            days[name] = days.get(name, 0) + total
            if number == 3 and day % 5 == 0:
                taken = random.randrange(1, total + 1)
                take_back(acme, stream, 0, taken)
                ms[which, kind] -= taken
                days[name] -= taken
    with staff_scope():
        assert not Unposted.objects.exists()
    invoice = finalise(acme.tenant.id, JANUARY, clock.set(2024, 2, 2, 23))
    expected = sum(
        reckoned(total, *(FIRST, SECOND, OTHER)[which][kind]) for (which, kind), total in ms.items()
    )
    document = invoice.document
    assert bill.check(document) == []
    assert Fraction(document["subtotal"]) == expected
    assert Fraction(document["total"]) == Fraction(int(expected * 100 + Fraction(1, 2)), 100)
    assert invoice.ms == sum(ms.values()) == sum(one["ms"] for one in document["streams"])
    assert {one["name"]: one["ms"] for one in document["summary"]["days"]} == days
    assert len(document["prices"]) == 6
    assert sum(Fraction(one["amount"]) for one in document["lines"]) == expected
    with tenant_scope(acme.tenant.id):
        assert sum(LedgerEntry.objects.values_list("amount", flat=True)) == Decimal(document["subtotal"])
    for one in document["streams"]:
        covered = sum(part["to_ms"] - part["from_ms"] for part in one["ranges"])
        assert one["ms"] == covered - sum(part["to_ms"] - part["from_ms"] for part in one["corrected"])
