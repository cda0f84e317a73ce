"""Balance, settings and the pages of the payment provider."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from gateway.rest import access
from gateway.rest.tests.conftest import Asker, key_of
from metering.ledger import accounts
from metering.ledger.append import NewEntry, append
from metering.ledger.errors import TimeZoneNotNow
from metering.models.ledger import EntryKind
from metering.receipts.tests import book
from tenants.access import Scope
from tenants.models import AuditEntry
from tenants.scope import tenant_scope

BALANCE, SETTINGS, PORTAL = "/v1/billing/balance", "/v1/billing/settings", "/v1/billing/portal"


@pytest.fixture
def _used(house: Any, acme: Any, rival: Any) -> None:
    book.priced(acme, "ours")
    book.priced(rival, "theirs")
    book.used(acme, book.stream(acme, "a", 45_000))
    book.used(acme, book.stream(acme, "b", 120_000))
    book.used(rival, book.stream(rival, "a", 600_000))


@pytest.mark.usefixtures("_used")
def test_what_the_period_has_cost_and_what_is_left(ask: Asker, acme: Any) -> None:
    found = ask.get(BALANCE).body
    account = accounts.account_of(acme.tenant.id)
    assert account.period is not None
    assert found["period"] == account.period.strftime("%Y-%m")
    # A minute is included, and 105 seconds are not.
    assert (found["ms"], found["charged"], found["balance"]) == (165_000, "0.010325", "-0.010325")
    [included] = found["included"]
    assert (included["label"], included["included_ms"], included["left_ms"]) == ("Live", 60_000, 0)
    assert (found["mode"], found["currency"], found["hold"], found["hard_cap"]) == (
        "invoice",
        "USD",
        "",
        None,
    )


@pytest.mark.usefixtures("_used")
def test_a_cap_holds_at_once_and_what_is_past_it_is_waived(ask: Asker, acme: Any, rival: Any) -> None:
    assert ask("PUT", SETTINGS, {"hard_cap": "0.010330", "soft_cap": "0.01"}).status == 200
    book.used(acme, book.stream(acme, "c", 60_000))
    found = ask.get(BALANCE).body
    assert (found["charged"], found["waived"]) == ("0.010330", "0.005895")
    assert (found["hard_cap"], found["soft_cap"], found["hold"]) == ("0.010330", "0.010000", "spend_cap")
    assert key_of(rival).get(BALANCE).body["hold"] == ""
    assert ask("PUT", SETTINGS, {"hard_cap": None}).body["hard_cap"] is None
    assert ask.get(BALANCE).body["hold"] == ""


def test_settings_are_changed_by_who_may_and_audited(ask: Asker, acme: Any, rival: Any) -> None:
    changed = ask(
        "PUT", SETTINGS, {"email": "pay@acme.example", "legal_name": "Acme Ltd", "address": "1 St\n2 City"}
    )
    assert (changed.status, changed.body["legal_name"]) == (200, "Acme Ltd")
    assert ask.get(SETTINGS).body == changed.body
    assert ask("PUT", SETTINGS, {"tax_id": "X1"}).body["email"] == "pay@acme.example"
    with tenant_scope(acme.tenant.id):
        entries = list(AuditEntry.objects.filter(action="account.changed"))
    assert len(entries) == 2
    assert {entry.actor[:7] for entry in entries} == {"key sk_"}
    assert key_of(rival).get(SETTINGS).body["email"] == ""
    reader = key_of(acme, [Scope.BILLING_READ, Scope.USAGE_READ])
    own = key_of(acme, [Scope.USAGE_READ])
    for asker, method, path in (
        (reader, "PUT", SETTINGS), (reader, "POST", PORTAL), (own, "GET", BALANCE), (own, "GET", SETTINGS),
    ):  # fmt: skip
        assert asker(method, path, {}).code == "scope_missing", (method, path)


REFUSED = {
    "hard_cap": ["-1", "1e3", "1.1234567", 5, "NaN"],
    "email": ["nobody", None, "x" * 300],
    "legal_name": ["\x00", None],
    "time_zone": ["Mars/Base", None],
    "hardcap": ["5"],
}


def test_a_setting_that_makes_no_sense_is_named(ask: Asker) -> None:
    before = ask.get(SETTINGS).body
    for name, values in REFUSED.items():
        for value in values:
            answer = ask("PUT", SETTINGS, {name: value, "tax_id": "not kept"})
            assert answer.status == 400, (name, value)
            assert answer.code in ("bad_body", "setting_malformed", "time_zone_unknown"), (name, value)
    assert ask.get(SETTINGS).body == before


def test_a_time_zone_near_the_turn_of_a_month_stays(ask: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    def not_now(*_: Any) -> None:
        raise TimeZoneNotNow()

    monkeypatch.setattr(accounts, "check_time_zone_now", not_now)
    answer = ask("PUT", SETTINGS, {"time_zone": "Europe/Berlin"})
    assert (answer.status, answer.code) == (409, "time_zone_not_now")


def test_without_a_payment_provider_there_is_no_page_to_pay_on(
    ask: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STRIPE_API_KEY", raising=False)
    answer = ask.post(PORTAL, {"return_url": "https://acme.example"})
    assert (answer.status, answer.code) == (503, "payments_not_configured")
    assert ask.post(PORTAL, {"page": "credit"}).code == "bad_body"
    assert ask.post(PORTAL, {"return_url": "javascript:alert(1)"}).code == "bad_body"
    assert ask.post(PORTAL, {"amount": "5"}).code == "bad_body"
    assert ask.post(PORTAL, {"pages": "setup"}).code == "bad_body"


def test_a_payment_provider_that_does_not_answer_is_said_so(
    ask: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRIPE_API_KEY", "sk_test_of_nobody")
    monkeypatch.setenv("STRIPE_API_BASE", "http://127.0.0.1:9")
    answer = ask.post(PORTAL, {"return_url": "https://acme.example"})
    assert (answer.status, answer.code) == (503, "payments_unavailable")
    assert "sk_test" not in str(answer.body)


def test_not_everybody_may_wait_for_the_payment_provider(ask: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "OUTSIDE_MOST", 0)
    answer = ask.post(PORTAL, {})
    assert (answer.status, answer.code, answer.headers["Retry-After"]) == (503, "unavailable", "10")
    assert ask.get(SETTINGS).status == 200


def test_deepgrams_balances_are_of_prepaid_accounts_for_who_may_see_them(
    ask: Asker, acme: Any, rival: Any
) -> None:
    at = f"/v1/projects/{acme.project.id}/balances"
    assert ask.get(at).body == {"balances": []}
    accounts.change(acme.tenant.id, actor=None, mode="prepaid")
    append(acme.tenant.id, [NewEntry(EntryKind.CREDIT, "bought", "stripe:pi_1", amount=Decimal("-12.5"))])
    [balance] = ask.get(at).body["balances"]
    assert (balance["amount"], balance["units"]) == (12.5, "usd")
    assert ask.get(f"{at}/{balance['balance_id']}").body == balance
    assert ask.get(f"{at}/{acme.tenant.id}").code == "unknown_id"
    assert key_of(acme, [Scope.USAGE_READ]).get(at).body == {"balances": []}
    assert key_of(rival).get(at).code == "unknown_id"
