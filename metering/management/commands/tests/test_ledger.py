from __future__ import annotations

from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from metering.models import Account, LedgerEntry
from tenants.models import AuditEntry
from tenants.scope import tenant_scope

pytestmark = pytest.mark.django_db


def ledger(*arguments: str) -> str:
    out = StringIO()
    call_command("ledger", *arguments, stdout=out)
    return out.getvalue().strip()


def credit(amount: str, *more: str) -> str:
    return ledger("credit", "--tenant", "acme", "--amount", amount, "--reason", "Bank transfer", *more)


def entries(tenant: Any) -> list[tuple[str, Decimal]]:
    with tenant_scope(tenant.id):
        found = LedgerEntry.objects.filter(tenant_id=tenant.id).order_by("seq")
        return list(found.values_list("kind", "amount"))


def test_a_credit_raises_the_balance_of_one_tenant(acme: Any, rival: Any) -> None:
    assert credit("20.00") == "acme: credit of 20.000000 USD is entry 1; the balance is 20.000000 USD."
    assert entries(acme.tenant) == [("credit", Decimal(-20))]
    assert entries(rival.tenant) == []
    with tenant_scope(acme.tenant.id):
        assert AuditEntry.objects.filter(action="ledger.credit", details__reason="Bank transfer").count() == 1
    assert ledger("verify", "--tenant", "acme") == "1 ledgers are right."


def test_an_adjustment_goes_either_way(acme: Any, rival: Any) -> None:
    for amount in ("-12.50", "2"):
        ledger("adjust", "--tenant", "acme", "--amount", amount, "--reason", "Outage")
    assert entries(acme.tenant) == [("adjustment", Decimal("-12.5")), ("adjustment", Decimal(2))]
    with tenant_scope(acme.tenant.id):
        assert Account.objects.get(tenant_id=acme.tenant.id).charged == Decimal("-10.5")


def test_a_reference_is_entered_once(acme: Any, rival: Any) -> None:
    credit("20", "--reference", "transfer-1")
    assert "is entry 1 already; the balance is 20.000000" in credit("20", "--reference", "transfer-1")
    with pytest.raises(CommandError, match="'transfer-1' is entry 1 already, and says something else"):
        credit("21", "--reference", "transfer-1")
    assert entries(acme.tenant) == [("credit", Decimal(-20))]
    with tenant_scope(acme.tenant.id):
        assert AuditEntry.objects.filter(action="ledger.credit").count() == 1


def test_without_tenants_nothing_is_wrong() -> None:
    assert ledger("verify") == "0 ledgers are right."
    out = StringIO()
    call_command("receipts", "verify", stdout=out)
    assert out.getvalue().startswith("0 receipts of 0 tenants")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("credit",), "credit needs --tenant"),
        (("show",), "show needs --tenant"),
        (("verify", "--tenant", "nobody"), "no tenant 'nobody'"),
        (("credit", "--tenant", "acme", "--amount", "5"), "needs --amount and --reason"),
        (("credit", "--tenant", "acme", "--amount", "much", "--reason", "x"), "such as 20.00"),
        (("credit", "--tenant", "acme", "--amount", "NaN", "--reason", "x"), "such as 20.00"),
        (("credit", "--tenant", "acme", "--amount=-5", "--reason", "x"), "above 0"),
        (("credit", "--tenant", "acme", "--amount", "0.0000001", "--reason", "x"), "six decimals"),
        (("adjust", "--tenant", "acme", "--amount", "0", "--reason", "x"), "not 0"),
        (("adjust", "--tenant", "acme", "--amount", "1", "--reason", ""), "1 to 300"),
        (("adjust", "--tenant", "acme", "--amount", "1", "--reason", "a\nb"), "printable"),
    ],
)
def test_what_is_refused_says_why(acme: Any, rival: Any, arguments: tuple[str, ...], says: str) -> None:
    with pytest.raises(CommandError, match=says):
        ledger(*arguments)
    assert entries(acme.tenant) == entries(rival.tenant) == []
