"""Whatever is done to a row of the receipts, it is found."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from metering.receipts.issue import issue, revise
from metering.receipts.tests.test_issue import of
from metering.receipts.verify import problems_of
from tenants.scope import tenant_scope

pytestmark = pytest.mark.usefixtures("_signing")


@pytest.fixture
def _chains(_signing: None, acme: Any, rival: Any) -> None:
    for household in (acme, rival):
        for name in ("a", "b", "c"):
            issue(household.tenant.id, of(name))
        revise(household.tenant.id, of("a", 6000))


def as_a_thief(sql: str, household: Any) -> None:
    """Past the triggers, as somebody who has the database."""
    with tenant_scope(household.tenant.id), connection.cursor() as cursor:
        cursor.execute("RESET ROLE")
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for table in ("receipt", "receipthead"):
            cursor.execute(f"ALTER TABLE metering_{table} DISABLE TRIGGER USER")
        hers = f"{'AND' if ' WHERE ' in sql else 'WHERE'} tenant_id = '{household.tenant.id}'"
        cursor.execute(sql if "signingkey" in sql else f"{sql} {hers}")


# Column by column, row by row: what is done, and what is said of it.
MINE = "metering_receipt"
TAMPERED = {
    f"UPDATE {MINE} SET body = replace(body, '5000', '4000') WHERE number = 2": "its signature",
    f"UPDATE {MINE} SET body = '[]' WHERE number = 2": "not that of a receipt",
    f"UPDATE {MINE} SET number = 5 WHERE number = 3": "receipt 3 is missing",
    f"UPDATE {MINE} SET request_id = 'x' WHERE number = 2": "another request_id",
    f"UPDATE {MINE} SET revision = 3 WHERE number = 4": "another revision",
    f"UPDATE {MINE} SET project_id = gen_random_uuid() WHERE number = 2": "another project",
    f"UPDATE {MINE} SET issued_at = issued_at + interval '1 day' WHERE number = 2": "another issued_at",
    f"UPDATE {MINE} SET key = 'other' WHERE number = 2": "nobody knows its key",
    f"UPDATE {MINE} SET signature = decode(repeat('00', 64), 'hex') WHERE number = 2": "its signature",
    f"UPDATE {MINE} SET hash = decode(repeat('00', 32), 'hex') WHERE number = 2": "its hash",
    f"DELETE FROM {MINE} WHERE number = 1": "receipt 1 is missing",
    f"DELETE FROM {MINE} WHERE number = 2": "receipt 2 is missing",
    f"DELETE FROM {MINE} WHERE number IN (2, 3)": "receipts 2 to 3 are missing",
    f"DELETE FROM {MINE} WHERE number = 4": "receipts 4 to 4 are missing",
    f"DELETE FROM {MINE}": "receipts 1 to 4 are missing",
    f"INSERT INTO {MINE} (tenant_id, project_id, number, request_id, revision, body, key, signature, hash, "
    f"issued_at) SELECT tenant_id, project_id, 5, 'd', 1, body, key, signature, hash, issued_at FROM {MINE} "
    "WHERE number = 2": "another number",
    "UPDATE metering_receipthead SET number = 3": "the head of the chain",
    "DELETE FROM metering_receipthead": "the head of the chain",
    "UPDATE metering_signingkey SET public = decode(repeat('01', 32), 'hex')": "its signature",
    "UPDATE metering_signingkey SET public = decode('01', 'hex')": "its signature",
}


@pytest.mark.usefixtures("_chains")
@pytest.mark.parametrize("sql", TAMPERED)
def test_what_was_tampered_with_is_found_and_named(sql: str, acme: Any, rival: Any) -> None:
    assert problems_of(acme.tenant.id) == (4, [])
    as_a_thief(sql, acme)
    _, problems = problems_of(acme.tenant.id)
    assert any(TAMPERED[sql] in problem for problem in problems), problems
    if "signingkey" not in sql:
        assert problems_of(rival.tenant.id) == (4, [])


def test_no_receipts_are_right(acme: Any) -> None:
    assert problems_of(acme.tenant.id) == (0, [])


@pytest.mark.usefixtures("_chains")
def test_the_command_says_how_many_are_right_and_fails_when_one_is_not(acme: Any) -> None:
    out = io.StringIO()
    call_command("receipts", "verify", stdout=out)
    assert "8 receipts of 2 tenants" in out.getvalue()
    as_a_thief(f"DELETE FROM {MINE} WHERE number = 2", acme)
    with pytest.raises(CommandError):
        call_command("receipts", "verify", stdout=out)
    assert "acme: receipt 2 is missing" in out.getvalue()
    call_command("receipts", "verify", "--tenant", "rival", stdout=out)
    with pytest.raises(CommandError, match="no tenant"):
        call_command("receipts", "verify", "--tenant", "nobody", stdout=out)
