"""Somebody with the owner's rights changes the ledger by hand: it is found, and named."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from metering.ledger import rows
from metering.ledger import verify as verifying
from metering.ledger.append import NewEntry, append
from metering.ledger.post import post_due
from metering.ledger.tests.make import entries, priced, proved, usage
from metering.ledger.verify import verify
from metering.models import LedgerEntry
from metering.models.ledger import EntryKind
from metering.recording import record
from tenants.scope import tenant_scope

Tamper = Callable[..., None]


@pytest.fixture
def ledgers(acme: Any, rival: Any) -> tuple[Any, Any]:
    """Of six entries each."""
    for household in (acme, rival):
        priced(household) if household is acme else None
        record(usage(household, start * 1000, start * 1000 + 500) for start in range(4))
        post_due(household.tenant.id)
        append(household.tenant.id, [NewEntry(EntryKind.CREDIT, "Goodwill", amount=Decimal("-5"))])
        append(
            household.tenant.id,
            [NewEntry(EntryKind.CORRECTION, "Twice", stream="s", from_ms=0, to_ms=100, ms=-100)],
        )
        assert len(entries(household)) == 6
        assert proved(household)
    return acme, rival


@pytest.fixture
def tamper(ledgers: tuple[Any, Any]) -> Tamper:
    """Runs SQL on the table as its owner, past triggers and row-level security."""

    def run(sql: str, *values: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("RESET ROLE")
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            for change in ("DISABLE TRIGGER USER", "NO FORCE ROW LEVEL SECURITY"):
                cursor.execute(f"ALTER TABLE metering_ledgerentry {change}")
            cursor.execute("ALTER TABLE metering_account NO FORCE ROW LEVEL SECURITY")
            cursor.execute("ALTER TABLE metering_counter NO FORCE ROW LEVEL SECURITY")
            cursor.execute("ALTER TABLE metering_usageevent NO FORCE ROW LEVEL SECURITY")
            cursor.execute(sql, values)
            assert cursor.rowcount >= 1
            for change in ("ENABLE TRIGGER USER", "FORCE ROW LEVEL SECURITY"):
                cursor.execute(f"ALTER TABLE metering_ledgerentry {change}")
            cursor.execute("SET ROLE stenogate_app")

    return run


def found(household: Any) -> list[tuple[int | None, str]]:
    return [(finding.seq, finding.what) for finding in verify(household.tenant.id)]


CHANGES = [
    "amount = amount + 1", "waived = 1", "ms = ms + 1", "tags = '{other}'", "reason = 'nothing'",
    "at = now()",
    "period = period - 31", "stream = 'x'", "kind = 'adjustment'", "currency = 'EUR'", "price_id = NULL",
    "key_id = NULL", "processed_at = processed_at + interval '1 microsecond'", "hash = previous_hash",
    "from_ms = from_ms - 1", "rated_in = NULL", "model = 'x'", "region = 'x'", "usage_kind = 'x'",
    "reference = 'x'", "request_id = 'x'", "to_ms = 0", "project_id = key_id", "amount = 'NaN'",
    "waived = 'NaN'", "at = 'infinity'", "processed_at = '-infinity'", "period = 'infinity'",
    "rated_in = '9999-12-31'",
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_row_is_named(ledgers: tuple[Any, Any], tamper: Tamper, change: str) -> None:
    acme, rival = ledgers
    tamper(f"UPDATE metering_ledgerentry SET {change} WHERE tenant_id = %s AND seq = 3", acme.tenant.id)
    assert (3, "changed") in found(acme)
    assert proved(rival)


def test_a_row_taken_out_of_the_middle_is_named(ledgers: tuple[Any, Any], tamper: Tamper) -> None:
    acme, rival = ledgers
    tamper("DELETE FROM metering_ledgerentry WHERE tenant_id = %s AND seq = 3", acme.tenant.id)
    assert found(acme)[0] == (3, "missing")
    assert proved(rival)


def test_a_tail_cut_off_is_seen_by_the_head(ledgers: tuple[Any, Any], tamper: Tamper) -> None:
    acme, _ = ledgers
    tamper("DELETE FROM metering_ledgerentry WHERE tenant_id = %s AND seq > 4", acme.tenant.id)
    assert found(acme) == [(5, "missing")]


def test_a_whole_ledger_taken_away_is_seen(ledgers: tuple[Any, Any], tamper: Tamper) -> None:
    acme, _ = ledgers
    tamper("DELETE FROM metering_ledgerentry WHERE tenant_id = %s", acme.tenant.id)
    assert found(acme) == [(1, "missing")]


COPY = """
INSERT INTO metering_ledgerentry ({columns})
SELECT {values} FROM metering_ledgerentry WHERE tenant_id = %s AND seq = 3
"""


def copied(**changes: str) -> str:
    columns = [field.column for field in LedgerEntry._meta.fields if field.column != "id"]
    return COPY.format(columns=", ".join(columns), values=", ".join(changes.get(one, one) for one in columns))


def test_a_row_put_after_the_end_is_named(ledgers: tuple[Any, Any], tamper: Tamper) -> None:
    acme, _ = ledgers
    tamper(copied(seq="7"), acme.tenant.id)
    assert (7, "inserted") in found(acme)


def test_a_row_put_in_between_is_named(ledgers: tuple[Any, Any], tamper: Tamper) -> None:
    acme, _ = ledgers
    for seq in (6, 5, 4):
        tamper(
            f"UPDATE metering_ledgerentry SET seq = seq + 1 WHERE tenant_id = %s AND seq = {seq}",
            acme.tenant.id,
        )
    tamper(copied(seq="4"), acme.tenant.id)
    assert found(acme)[0] == (4, "moved")
    assert (4, "changed") in found(acme)
    assert (7, "inserted") in found(acme)


def test_two_rows_that_changed_places_are_named(ledgers: tuple[Any, Any], tamper: Tamper) -> None:
    acme, _ = ledgers
    for old, new in ((2, 99), (3, 2), (99, 3)):
        tamper(
            f"UPDATE metering_ledgerentry SET seq = {new} WHERE tenant_id = %s AND seq = {old}",
            acme.tenant.id,
        )
    assert {(2, "changed"), (3, "changed")} <= set(found(acme))


def test_a_row_changed_with_its_hash_made_anew_breaks_the_chain_after_it(
    ledgers: tuple[Any, Any], tamper: Tamper
) -> None:
    acme, _ = ledgers
    line = next(line for line in lines_of(acme) if line.seq == 5)
    line.amount = Decimal("-6")
    forged = verifying.hash_of(line)
    tamper(
        "UPDATE metering_ledgerentry SET amount = -6, hash = %s WHERE tenant_id = %s AND seq = 5",
        forged, acme.tenant.id,
    )  # fmt: skip
    assert (6, "moved") in found(acme)
    assert (5, "changed") not in found(acme)


def test_a_last_row_forged_with_its_hash_disagrees_with_the_head(
    ledgers: tuple[Any, Any], tamper: Tamper
) -> None:
    acme, _ = ledgers
    line = next(line for line in lines_of(acme) if line.seq == 6)
    line.reason = "Another"
    tamper(
        "UPDATE metering_ledgerentry SET reason = 'Another', hash = %s WHERE tenant_id = %s AND seq = 6",
        verifying.hash_of(line), acme.tenant.id,
    )  # fmt: skip
    assert found(acme) == [(None, "head")]


def lines_of(household: Any) -> list[Any]:
    with tenant_scope(household.tenant.id):
        return rows.select("tenant_id = %s", [household.tenant.id])


@pytest.mark.parametrize(
    ("table", "change", "what"),
    [
        ("account", "balance = balance + 1", "head"),
        ("account", "charged = charged + 1", "head"),
        ("account", "last_hash = decode(repeat('00', 32), 'hex')", "head"),
        ("account", "last_seq = 5", "head"),
        ("account", "balance = 'NaN'", "head"),
        ("counter", "ms = ms + 1", "counter"),
        ("counter", "charged = charged - 1", "counter"),
        ("counter", "waived = 1", "counter"),
    ],
)
def test_a_head_or_a_counter_that_disagrees_is_named(
    ledgers: tuple[Any, Any], tamper: Tamper, table: str, change: str, what: str
) -> None:
    acme, rival = ledgers
    tamper(f"UPDATE metering_{table} SET {change} WHERE tenant_id = %s", acme.tenant.id)
    assert (None, what) in found(acme)
    said = "".join(map(str, verify(acme.tenant.id)))
    assert "Count(" not in said  # for people: money as money
    assert "millionths" not in said
    assert proved(rival)


def test_usage_that_was_posted_and_is_not_in_the_ledger_is_seen(
    ledgers: tuple[Any, Any], tamper: Tamper
) -> None:
    acme, _ = ledgers
    record([usage(acme, 50_000, 51_000)])
    tamper("DELETE FROM metering_unposted WHERE tenant_id = %s", acme.tenant.id)
    assert found(acme) == [(None, "usage")]


def test_entries_that_come_while_it_reads_are_no_finding(
    ledgers: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    acme, _ = ledgers
    read = rows.stream

    def stream_after_more(tenant_id: Any) -> Any:
        append(tenant_id, [NewEntry(EntryKind.CREDIT, "Goodwill", amount=Decimal("-1"))])
        yield from read(tenant_id)

    monkeypatch.setattr(rows, "stream", stream_after_more)
    assert proved(acme)


def test_it_reads_in_chunks(ledgers: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for chunk in (1, 2, 3, 6):
        monkeypatch.setattr(rows, "CHUNK", chunk)
        assert proved(ledgers[0])


def test_the_command_names_what_it_finds_and_fails(ledgers: tuple[Any, Any], tamper: Tamper) -> None:
    acme, _ = ledgers
    out = StringIO()
    call_command("ledger", "verify", stdout=out)
    assert out.getvalue() == "2 ledgers are right.\n"
    tamper("UPDATE metering_ledgerentry SET ms = 1 WHERE tenant_id = %s AND seq = 3", acme.tenant.id)
    out = StringIO()
    with pytest.raises(CommandError, match="1 of 2 ledgers") as refused:
        call_command("ledger", "verify", stdout=out)
    assert refused.value.returncode == 1
    assert "acme: entry 3: changed" in out.getvalue()
    assert "rival" not in out.getvalue()
    call_command("ledger", "verify", tenant="rival", stdout=out)
    with pytest.raises(CommandError, match="no tenant 'nobody'"):
        call_command("ledger", "verify", tenant="nobody")


def test_the_command_shows_the_end_of_a_ledger(ledgers: tuple[Any, Any]) -> None:
    out = StringIO()
    call_command("ledger", "show", tenant="acme", last=2, stdout=out)
    lines = out.getvalue().splitlines()
    assert len(lines) == 3
    assert "-5.000000 USD Goodwill" in lines[0]
    assert "balance 4.998100 USD" in lines[2]
    with pytest.raises(CommandError, match="needs --tenant"):
        call_command("ledger", "show")
