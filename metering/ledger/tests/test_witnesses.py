"""A ledger that somebody wrote anew from some entry to its end, with its head: only others know."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from metering.ledger import rows
from metering.ledger.append import NewEntry, append
from metering.ledger.chain import Line, seal
from metering.ledger.post import post_due
from metering.ledger.tests.make import priced, proved, usage
from metering.ledger.verify import verify
from metering.models import Invoice
from metering.models.ledger import EntryKind
from metering.receipts import due, keys
from metering.recording import record
from metering.tasks import record_requests
from metering.tests.test_tasks import request
from tenants.scope import tenant_scope


@pytest.fixture
def ledgers(acme: Any, rival: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two streams and a credit each."""
    monkeypatch.setenv("RECEIPT_KEYS", keys.make("2026-11"))
    priced(acme)
    for household in (acme, rival):
        record([usage(household, 0, 700, stream="a"), usage(household, 0, 300, stream="b")])
        post_due(household.tenant.id)
        append(household.tenant.id, [NewEntry(EntryKind.CREDIT, "Goodwill", amount=Decimal("-5"))])


def receipts() -> None:
    while due.look_through_ledger():
        pass
    due.issue_due(timezone.now() + due.ABANDONED + timedelta(minutes=1))


def written_anew(household: Any, change: Callable[[Line], None]) -> None:
    """By the tables' owner: all entries, their chain, and the account's head."""
    tenant_id = household.tenant.id
    with tenant_scope(tenant_id):
        lines = rows.select("tenant_id = %s", [tenant_id])
    previous = bytes(32)
    for line in lines:
        change(line)
        seal(line, previous)
        previous = line.hash
    with connection.cursor() as cursor:
        cursor.execute("RESET ROLE")
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for table in ("ledgerentry", "account"):
            cursor.execute(f"ALTER TABLE metering_{table} DISABLE TRIGGER USER, NO FORCE ROW LEVEL SECURITY")
        cursor.execute("DELETE FROM metering_ledgerentry WHERE tenant_id = %s", [tenant_id])
        rows.insert(lines)
        cursor.execute(
            "UPDATE metering_account SET last_hash = %s, balance = %s WHERE tenant_id = %s",
            [previous, -sum(line.amount for line in lines), tenant_id],
        )
        for table in ("ledgerentry", "account"):
            cursor.execute(f"ALTER TABLE metering_{table} ENABLE TRIGGER USER, FORCE ROW LEVEL SECURITY")
        cursor.execute("SET ROLE stenogate_app")


def found(household: Any) -> list[str]:
    return [str(finding) for finding in verify(household.tenant.id)]


def another_credit(line: Line) -> None:
    if line.kind == EntryKind.CREDIT:
        line.amount = Decimal("-50.000000")


def as_owner(table: str, change: str, household: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("RESET ROLE")
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(f"ALTER TABLE metering_{table} DISABLE TRIGGER USER, NO FORCE ROW LEVEL SECURITY")
        cursor.execute(f"UPDATE metering_{table} SET {change} WHERE tenant_id = %s", [household.tenant.id])
        assert cursor.rowcount >= 1
        cursor.execute(f"ALTER TABLE metering_{table} ENABLE TRIGGER USER, FORCE ROW LEVEL SECURITY")
        cursor.execute("SET ROLE stenogate_app")


def another_stream(line: Line) -> None:
    if line.stream == "a":
        line.stream = line.request_id = "b"
    elif line.stream == "b":
        line.stream = line.request_id = "a"


def invoiced(household: Any) -> None:
    """Up to its last entry."""
    tenant_id = household.tenant.id
    with tenant_scope(tenant_id):
        last = rows.select("tenant_id = %s", [tenant_id])[-1]
        Invoice.objects.create(
            tenant_id=tenant_id, kind="invoice", number=household.tenant.slug, period=date(2026, 11, 1),
            starts_at=timezone.now(), ends_at=timezone.now(), currency="USD", ms=0, total=0, first_seq=1,
            last_seq=last.seq, document={"ledger": {"last_seq": last.seq, "head": last.hash.hex()}},
            final_at=timezone.now(),
        )  # fmt: skip


@pytest.mark.usefixtures("ledgers")
def test_an_invoice_was_made_of_another_ledger(acme: Any, rival: Any) -> None:
    for household in (acme, rival):
        invoiced(household)
        assert proved(household)
    written_anew(acme, another_credit)
    assert found(acme) == ["entry 3: rewritten: invoice acme was made of another"]
    assert proved(rival)


@pytest.mark.usefixtures("ledgers")
def test_a_receipt_says_what_a_stream_was(acme: Any, rival: Any) -> None:
    receipts()
    assert proved(acme)
    written_anew(acme, another_stream)
    assert sorted(one.partition(" says ")[2] for one in found(acme)) == [
        "300 ms of b, the ledger 700 ms",
        "700 ms of a, the ledger 300 ms",
    ]
    assert proved(rival)


@pytest.mark.usefixtures("ledgers")
def test_a_witness_that_was_broken_keeps_nothing_from_being_looked_at(acme: Any, rival: Any) -> None:
    receipts()
    for household in (acme, rival):
        invoiced(household)
    as_owner("receipt", "body = 'no JSON'", acme)
    as_owner("invoice", "document = '{}'", acme)
    assert sorted(one.partition(": ")[2].partition(" says ")[0] for one in found(acme)) == [
        "receipt: receipt 1", "receipt: receipt 2", "rewritten: invoice acme was made of another",
    ]  # fmt: skip
    assert proved(rival)


@pytest.mark.usefixtures("ledgers")
def test_a_receipt_that_is_due_again_is_no_finding(acme: Any) -> None:
    receipts()
    record([usage(acme, 700, 900, stream="a")])
    post_due(acme.tenant.id)
    assert proved(acme)
    due.look_through_ledger()
    assert proved(acme)
    record_requests([request(acme, "a", billed_ms=900)])
    assert proved(acme)
    receipts()
    assert proved(acme)
