"""Receipts in a real PostgreSQL: one chain a tenant, each stream once, and what changes it."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection

from metering.models import Receipt, ReceiptHead
from metering.receipts.body import Statement, billed_by, digest
from metering.receipts.errors import NoReceiptKey
from metering.receipts.issue import issue, latest, revise
from metering.receipts.keys import good, in_use, make
from metering.receipts.tests.test_body import PART, statement
from tenants.scope import tenant_scope

pytestmark = pytest.mark.usefixtures("_signing")


def of(request_id: str, ms: int = 5000) -> Statement:
    return replace(statement(replace(PART, stream=request_id, to_ms=ms)), request_id=request_id)


def test_each_names_the_one_before_it_and_is_signed(acme: Any, rival: Any) -> None:
    first, second = issue(acme.tenant.id, of("a")), issue(acme.tenant.id, of("b"))
    theirs = issue(rival.tenant.id, of("a"))
    said = [json.loads(one.body) for one in (first, second, theirs)]
    assert [one["number"] for one in said] == [1, 2, 1]
    assert [one["previous"] for one in said] == [None, digest(first.body).hex(), None]
    assert all(good(in_use().public, one.signature, one.body) for one in (first, second, theirs))
    assert not good(in_use().public, first.signature, second.body)


def test_a_stream_has_one_receipt_however_often_it_is_asked_for(acme: Any) -> None:
    first = issue(acme.tenant.id, of("a"))
    assert issue(acme.tenant.id, of("a")) == issue(acme.tenant.id, of("a", 6000)) == first
    assert revise(acme.tenant.id, of("a")) == first


def test_what_changed_is_another_revision_and_says_what_it_supersedes(acme: Any, rival: Any) -> None:
    issue(acme.tenant.id, of("a"))
    issue(acme.tenant.id, of("b"))
    second = revise(acme.tenant.id, of("a", 6000))
    said = json.loads(second.body)
    assert (second.number, second.revision, said["supersedes"], said["ms"]) == (3, 2, 1, 6000)
    assert latest(acme.tenant.id, "a") == second
    assert latest(rival.tenant.id, "a") is None


def test_nothing_is_issued_without_a_key(acme: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECEIPT_KEYS", "")
    with pytest.raises(NoReceiptKey, match="receipt_key"):
        issue(acme.tenant.id, of("a"))


def test_who_sees_whose(acme: Any, rival: Any) -> None:
    issue(acme.tenant.id, of("a"))
    with tenant_scope(rival.tenant.id):
        assert not Receipt.objects.exists()
        assert not ReceiptHead.objects.exists()


def test_many_at_once_make_one_chain(transactional_db: None, acme: Any) -> None:
    def some(offset: int) -> None:
        for number in range(8):
            issue(acme.tenant.id, of(f"s{(number + offset) % 8}"))
        connection.close()

    threads = [threading.Thread(target=some, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with tenant_scope(acme.tenant.id):
        rows = list(Receipt.objects.order_by("number"))
    assert [row.number for row in rows] == list(range(1, 9))
    assert {row.request_id for row in rows} == {f"s{n}" for n in range(8)}
    previous = [json.loads(row.body)["previous"] for row in rows]
    assert previous == [None, *(bytes(row.hash).hex() for row in rows[:-1])]


def test_after_a_rotation_the_new_key_signs(acme: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first = issue(acme.tenant.id, of("a"))
    old = in_use()
    monkeypatch.setenv("RECEIPT_KEYS", make("2026-12"))
    second = issue(acme.tenant.id, of("b"))
    assert (first.key, second.key) == ("2026-11", "2026-12")
    assert good(old.public, first.signature, first.body)
    assert good(in_use().public, second.signature, second.body)
    assert billed_by(second.body) == {("b", "2026-11-01", "p"): 5000}
