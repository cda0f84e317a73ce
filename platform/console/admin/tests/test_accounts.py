"""Accounts, through the pages of the staff admin."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from metering.invoices.tests.month import plan, put_on, settle, use
from metering.ledger.accounts import account_of
from tenants.models import AuditEntry, User
from tenants.scope import tenant_scope


@pytest.fixture
def browser(staff):
    client = Client()
    client.force_login(staff)
    return client


def page(name, *args):
    return reverse(f"admin:metering_account_{name}", args=args)


def form(account, **changes):
    """What the page sends back when nothing is changed in it."""
    return {
        "mode": account.mode, "currency": account.currency, "hard_cap": "", "soft_cap": "", "customer": "",
        "legal_name": "", "tax_id": "", "address": "", "email": "", "time_zone": account.time_zone, **changes,
    }  # fmt: skip


def test_settings_are_changed_through_the_service_and_audited(browser, acme, rival, staff):
    account, other = account_of(acme.tenant.id), account_of(rival.tenant.id)
    sent = form(account, hard_cap="12.5", legal_name="Acme GmbH", address="12 Street\r\nTown")
    assert browser.post(page("change", account.pk), sent).status_code == 302
    account = account_of(acme.tenant.id)
    assert (account.hard_cap, account.legal_name, account.address) == (12.5, "Acme GmbH", "12 Street\nTown")
    with tenant_scope(acme.tenant.id):
        told = AuditEntry.objects.get(action="account.changed")
    assert told.actor == f"staff {staff}"
    assert set(told.details["after"]) == {"hard_cap", "legal_name", "address"}
    assert account_of(rival.tenant.id).legal_name == other.legal_name == ""


def test_a_title_has_the_name_of_the_tenant(browser, acme, rival):
    said = browser.get(page("change", account_of(acme.tenant.id).pk)).content.decode()
    assert f"account of {acme.tenant.name}" in said
    assert f"account of {acme.tenant.id}" not in said


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"time_zone": "Nowhere/Land"}, "There is no such time zone"),
        ({"hard_cap": "-1"}, "greater than or equal to 0"),
        ({"currency": "usd"}, "Enter a valid value"),
    ],
)
def test_what_makes_no_sense_is_refused_and_said(browser, acme, rival, wrong, said):
    account = account_of(acme.tenant.id)
    response = browser.post(page("change", account.pk), form(account, **wrong), follow=True)
    assert said in response.content.decode()
    assert account_of(acme.tenant.id) == account
    assert account_of(acme.tenant.id).hard_cap is None


def test_nobody_makes_or_deletes_one_and_no_balance_is_typed_in(browser, acme, rival):
    account = settle(acme, balance=5)
    assert browser.get(page("add")).status_code == 403
    assert browser.post(page("delete", account.pk), {"post": "yes"}).status_code == 403
    browser.post(page("change", account.pk), form(account, balance="1000", standing="suspended"))
    account = account_of(acme.tenant.id)
    assert (account.balance, account.standing) == (5, "good")


def test_drafts_are_of_the_tenant_and_run_nothing(browser, acme, rival, monkeypatch):
    from metering.invoices.tests.month import Clock

    clock = Clock(monkeypatch)
    both = plan("both")
    for who in (acme, rival):
        put_on(who, both)
        use(who, clock.set(2024, 1, 10), f"of-{who.tenant.slug}")
    account = account_of(acme.tenant.id)
    response = browser.get(page("draft", account.pk, "2024-01-01", ".html"))
    body = response.content.decode()
    assert "of-acme" in body
    assert "of-rival" not in body
    assert "default-src 'none'" in response["Content-Security-Policy"]
    for day, suffix in (("2024-01-02", ".html"), ("x", ".html"), ("2024-01-01", ".exe")):
        assert browser.get(page("draft", account.pk, day, suffix)).status_code == 404


def test_staff_without_the_right_see_and_change_nothing(acme, rival):
    account = account_of(acme.tenant.id)
    helper = User.objects.create_user("helper@stenogate.example", is_staff=True)
    client = Client()
    client.force_login(helper)
    assert client.get(page("changelist")).status_code == 403
    assert client.get(page("draft", account.pk, "2024-01-01", ".html")).status_code == 404
    helper.user_permissions.add(Permission.objects.get(codename="view_account"))
    assert client.get(page("change", account.pk)).status_code == 200
    assert client.post(page("change", account.pk), form(account, legal_name="x")).status_code == 403
