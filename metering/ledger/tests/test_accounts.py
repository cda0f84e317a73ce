from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from metering.ledger.accounts import account_of, change, locked_account, locked_if_free
from metering.ledger.append import NewEntry, append
from metering.ledger.errors import (
    BalanceBelowZero,
    CurrencyFixed,
    SettingMalformed,
    SettingNotTheirs,
    TimeZoneNotNow,
    TimeZoneUnknown,
)
from metering.ledger.tests.make import account
from metering.models import Account
from metering.models.ledger import EntryKind
from tenants.errors import RoleNotAllowed
from tenants.models import AuditEntry
from tenants.scope import tenant_scope


def test_it_is_made_when_it_is_first_needed(acme: Any, rival: Any) -> None:
    with tenant_scope(acme.tenant.id):
        assert locked_if_free(acme.tenant.id) == locked_account(acme.tenant.id) == account_of(acme.tenant.id)
    with tenant_scope(rival.tenant.id):
        assert not Account.objects.exists()


def test_an_owner_sets_caps_and_what_invoices_say_and_it_is_audited(acme: Any, rival: Any) -> None:
    changed = change(
        acme.tenant.id, actor=acme.owner, hard_cap=Decimal(50), soft_cap=Decimal("40.5"),
        legal_name=" Acme Ltd ", address="1 Street\r\nTown", tax_id="X1", email="books@acme.example",
    )  # fmt: skip
    assert account(acme).legal_name == changed.legal_name == "Acme Ltd"
    assert account(acme).address == "1 Street\nTown"
    with tenant_scope(acme.tenant.id):
        (entry,) = AuditEntry.objects.filter(action="account.changed")
    assert entry.actor == "alice@acme.example"
    assert (entry.details["before"]["hard_cap"], entry.details["after"]["hard_cap"]) == (None, "50.000000")
    change(acme.tenant.id, actor=acme.owner, hard_cap=Decimal(50))
    with tenant_scope(acme.tenant.id):
        assert AuditEntry.objects.filter(action="account.changed").count() == 1
    assert account(rival).hard_cap is None


def test_who_may_not_is_refused(acme: Any, rival: Any, bob: Any, staff: Any) -> None:
    for actor in (bob, rival.owner):
        with pytest.raises(RoleNotAllowed):
            change(acme.tenant.id, actor=actor, hard_cap=None)
    for ours in ({"mode": "prepaid"}, {"standing": "good"}, {"conservative": True}, {"customer": "cus_1"}):
        with pytest.raises(SettingNotTheirs):
            change(acme.tenant.id, actor=acme.owner, **ours)
    change(acme.tenant.id, actor=staff, conservative=True, customer="cus_1")
    assert (account(acme).conservative, account(acme).customer) == (True, "cus_1")


@pytest.mark.parametrize(
    ("setting", "error"),
    [
        ({"hard_cap": Decimal(-1)}, SettingMalformed),
        ({"hard_cap": 5.0}, SettingMalformed),
        ({"hard_cap": Decimal("0.0000001")}, SettingMalformed),
        ({"hard_cap": Decimal("1E+30")}, SettingMalformed),
        ({"hard_cap": Decimal("1E+999999")}, SettingMalformed),
        ({"hard_cap": Decimal("1.0000000000000000000000000000000001")}, SettingMalformed),
        ({"soft_cap": Decimal("NaN")}, SettingMalformed),
        ({"time_zone": "Mars/Olympus"}, TimeZoneUnknown),
        ({"time_zone": "../etc/passwd"}, TimeZoneUnknown),
        ({"time_zone": ""}, TimeZoneUnknown),
        ({"email": "nobody"}, SettingMalformed),
        ({"legal_name": "x" * 201}, SettingMalformed),
        ({"legal_name": "a\nb"}, SettingMalformed),
        ({"address": "a\0b"}, SettingMalformed),
        ({"mode": "free"}, SettingMalformed),
        ({"standing": "bad"}, SettingMalformed),
        ({"currency": "usd"}, SettingMalformed),
        ({"grace_until": datetime(2030, 1, 1)}, SettingMalformed),  # noqa: DTZ001
        ({"conservative": 1}, SettingMalformed),
        ({"balance": Decimal(5)}, SettingMalformed),
    ],
)
def test_what_makes_no_sense_is_refused_with_all_that_comes_with_it(
    acme: Any, setting: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        change(acme.tenant.id, actor=None, tax_id="X1", **setting)
    assert account(acme).tax_id == ""


def test_the_currency_stays_once_money_has_moved(acme: Any) -> None:
    change(acme.tenant.id, actor=None, currency="EUR")
    append(acme.tenant.id, [NewEntry(EntryKind.CREDIT, "Paid", amount=Decimal(-1))])
    with pytest.raises(CurrencyFixed):
        change(acme.tenant.id, actor=None, currency="USD")


def test_who_owes_cannot_be_made_prepaid(acme: Any) -> None:
    append(acme.tenant.id, [NewEntry(EntryKind.ADJUSTMENT, "Set-up", amount=Decimal(1))])
    with pytest.raises(BalanceBelowZero):
        change(acme.tenant.id, actor=None, mode="prepaid")
    append(acme.tenant.id, [NewEntry(EntryKind.CREDIT, "Paid", amount=Decimal(-1))])
    assert change(acme.tenant.id, actor=None, mode="prepaid").mode == "prepaid"


@pytest.mark.parametrize(
    ("now", "refused"),
    [
        ("2026-11-03T03:59:59+00:00", True),  # a second before October is frozen in New York
        ("2026-11-04T00:00:00+00:00", False),
        ("2026-11-27T23:59:59+00:00", False),
        ("2026-11-30T12:00:00+00:00", True),
        ("2026-12-01T02:00:00+00:00", True),  # December here, November there
    ],
)
def test_a_time_zone_changes_only_while_both_agree_on_what_is_over(
    acme: Any, monkeypatch: pytest.MonkeyPatch, now: str, refused: bool
) -> None:
    at = datetime.fromisoformat(now)
    monkeypatch.setattr(timezone, "now", lambda: at)
    if refused:
        with pytest.raises(TimeZoneNotNow):
            change(acme.tenant.id, actor=acme.owner, time_zone="America/New_York")
    else:
        assert change(acme.tenant.id, actor=acme.owner, time_zone="America/New_York").time_zone
