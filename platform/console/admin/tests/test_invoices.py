"""Invoices and the ledger, through the pages of the staff admin."""

from __future__ import annotations

from datetime import date

import pytest
from django.test import Client
from django.urls import reverse

from metering.invoices import credit_note, finalise
from metering.invoices.tests.month import Clock, entries, plan, put_on, use
from metering.models import LedgerEntry
from tenants.models import User


@pytest.fixture
def browser(staff):
    client = Client()
    client.force_login(staff)
    return client


@pytest.fixture
def made(acme, rival, monkeypatch):
    """An invoice of Acme's and the credit note for it; an invoice of Rival's."""
    clock = Clock(monkeypatch)
    both = plan("both", lines=[{"label": "Audio", "tiers": [{"up_to_ms": None, "per_minute": "1"}]}])
    found = []
    for who in (acme, rival):
        put_on(who, both)
        use(who, clock.set(2024, 1, 10), f"of-{who.tenant.slug}")
        found.append(finalise(who.tenant.id, date(2024, 1, 1), clock.set(2024, 2, 3)))
    found.append(credit_note(found[0], None, "A trial"))
    monkeypatch.undo()  # or the sign-in would be of 2024 too
    return found


def page(name, *args):
    return reverse(f"admin:metering_{name}", args=args)


def test_an_invoice_is_shown_with_its_files(browser, made):
    invoice, other, note = made
    listed = browser.get(page("invoice_changelist")).content.decode()
    for one in (invoice, other, note):
        assert one.number in listed
    assert "A trial" not in listed  # the list reads no documents
    assert browser.get(page("invoice_change", invoice.pk)).status_code == 200
    kinds = {
        ".html": "text/html; charset=utf-8", ".pdf": "application/pdf", ".csv": "text/csv; charset=utf-8",
        ".json": "application/json",
    }  # fmt: skip
    for suffix, kind in kinds.items():
        response = browser.get(page("invoice_file", invoice.pk, suffix))
        assert (response.status_code, response["Content-Type"]) == (200, kind)
        assert f'filename="{invoice.number}{suffix}"' in response["Content-Disposition"]
        assert b"of-rival" not in response.content
    assert browser.get(page("invoice_file", note.pk, ".pdf")).content.startswith(b"%PDF")
    assert browser.get(page("invoice_file", invoice.pk, ".exe")).status_code == 404


def test_neither_invoices_nor_the_ledger_have_a_form(browser, made, acme):
    entry = entries(acme)[0]
    for name, pk in (("invoice", made[0].pk), ("ledgerentry", entry.pk)):
        assert browser.get(page(f"{name}_add")).status_code == 403
        assert browser.post(page(f"{name}_change", pk), {"total": "1"}).status_code == 403
        assert browser.post(page(f"{name}_delete", pk), {"post": "yes"}).status_code == 403
    shown = browser.get(page("ledgerentry_change", entry.pk)).content.decode()
    assert bytes(entry.hash).hex() in shown


def test_files_are_for_staff_who_may_see_invoices(made, acme):
    helper = User.objects.create_user("helper@stenogate.example", is_staff=True)
    for user, status in ((helper, 404), (acme.owner.user, 302)):
        client = Client()
        client.force_login(user)
        assert client.get(page("invoice_file", made[0].pk, ".pdf")).status_code == status


def test_the_ledger_is_found_by_request_and_listed_without_a_query_a_row(
    browser, acme, rival, monkeypatch, django_assert_max_num_queries
):
    for number in range(15):
        use(acme, Clock(monkeypatch).set(2024, 1, 10), f"s{number}")
    use(rival, Clock(monkeypatch).set(2024, 1, 10), "of-rival")
    monkeypatch.undo()
    browser.get(page("ledgerentry_changelist"))
    with django_assert_max_num_queries(12):
        listed = browser.get(page("ledgerentry_changelist")).content.decode()
    assert "s14" in listed
    found = browser.get(page("ledgerentry_changelist"), {"q": "of-rival"}).content.decode()
    assert "of-rival" in found
    assert "s14" not in found


def test_the_order_of_the_ledger_is_that_of_an_index(acme, rival, rf, staff):
    from django.contrib import admin
    from django.db import connection

    from tenants.scope import staff_scope

    request = rf.get("/admin/metering/ledgerentry/")
    request.user = staff
    ledger = admin.site._registry[LedgerEntry]
    rows = ledger.get_queryset(request).order_by(
        *ledger.get_changelist_instance(request).get_ordering(request, ledger.get_queryset(request))
    )
    with staff_scope(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_sort = off")  # of so few rows any index and a sort are as good
        cursor.execute("SET LOCAL enable_incremental_sort = off")
        plan_text = rows[:50].explain()
    assert "Sort" not in plan_text
    assert "ledger_seq_once" in plan_text
