"""Dead letters: seen, said again, let go; each by one person, and in the audit log."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from metering import outbox
from metering.models import MeterIntent, WebhookEvent
from metering.payments import dead, settle
from metering.payments.tests.books import NOON, change, enter, expected, intents, states
from tenants.models import AuditEntry
from tenants.scope import staff_scope, tenant_scope

NEXT = NOON + timedelta(hours=1, minutes=5)


@pytest.fixture
def letters(acme: Any, rival: Any) -> None:
    for household in (acme, rival):
        change(household, customer=f"cus_{household.tenant.slug}")
        enter(household, 1000, "0.000000")
    outbox.fill(now=NEXT)
    with staff_scope():
        MeterIntent.objects.update(state="dead", error="no_meter: no such meter")
    WebhookEvent.objects.create(
        provider_id="evt_1", type="ping", created=NOON, payload={}, next_at=NOON, handled_at=NOON,
        outcome="given up: it is of nobody",
    )  # fmt: skip


def audited(household: Any) -> list[str]:
    with tenant_scope(household.tenant.id):
        found = AuditEntry.objects.filter(action__startswith="billing.intent").order_by("id")
        return [one.action for one in found]


def test_they_are_listed_with_the_reason(letters: None, acme: Any, rival: Any, capsys: Any) -> None:
    call_command("stripe_dead", "list")
    out = capsys.readouterr().out
    assert f"{intents(acme)[0].identifier}  acme  ms 1000  2026-11-20 12:00 UTC  no_meter" in out
    assert "rival" in out
    assert "evt_1  webhook ping  given up: it is of nobody" in out
    assert "2 meter events and 1 webhooks are dead" in out


def test_one_is_said_again_under_another_name(letters: None, acme: Any, rival: Any, capsys: Any) -> None:
    call_command("stripe_dead", "retry", intents(acme)[0].identifier)
    assert "-r1" in capsys.readouterr().out
    assert [one.state for one in intents(acme)] == ["dropped", "pending"]
    assert [one.state for one in intents(rival)] == ["dead"]
    assert audited(acme) == ["billing.intent_retried"]


def test_it_goes_to_the_customer_that_the_tenant_is_now(letters: None, acme: Any, rival: Any) -> None:
    change(acme, customer="cus_another")
    made = dead.retry(intents(acme)[0])
    assert made is not None
    assert made.customer == "cus_another"


def test_of_two_who_retry_one_wins(letters: None, acme: Any, rival: Any) -> None:
    letter = intents(acme)[0]
    assert dead.retry(letter) is not None
    assert dead.retry(letter) is None
    assert not dead.drop(letter, "late")
    assert audited(acme) == ["billing.intent_retried"]


def test_all_of_them(letters: None, acme: Any, rival: Any) -> None:
    call_command("stripe_dead", "retry", "all")
    assert [one.state for one in intents(acme) + intents(rival)] == ["dropped", "pending"] * 2
    assert WebhookEvent.objects.get().handled_at is None


def test_what_may_have_arrived_is_none_of_all(letters: None, acme: Any, rival: Any, capsys: Any) -> None:
    with staff_scope():
        MeterIntent.objects.filter(tenant_id=acme.tenant.id).update(error=settle.UNREADABLE)
    call_command("stripe_dead", "retry", "all")
    assert "compare by hand" in capsys.readouterr().out
    assert [one.state for one in intents(acme)] == ["dead"]
    assert [one.state for one in intents(rival)] == ["dropped", "pending"]
    call_command("stripe_dead", "retry", intents(acme)[0].identifier)
    assert [one.state for one in intents(acme)] == ["dropped", "pending"]


def test_one_is_let_go(letters: None, acme: Any, rival: Any) -> None:
    call_command("stripe_dead", "drop", intents(acme)[0].identifier, "evt_1", "--reason", "paid by hand")
    assert (states(acme), states(rival)) == ({"ms 1000": "dropped"}, {"ms 1000": "dead"})
    assert WebhookEvent.objects.get().outcome == "dropped: paid by hand"
    assert audited(acme) == ["billing.intent_dropped"]


def test_an_unknown_one_is_named(letters: None) -> None:
    with pytest.raises(CommandError, match="not among the dead: nobody"):
        call_command("stripe_dead", "retry", "nobody")


def test_what_reconciliation_has_sent_is_not_said_again(
    letters: None, acme: Any, rival: Any, capsys: Any
) -> None:
    letter = intents(acme)[0]
    with tenant_scope(acme.tenant.id):
        MeterIntent.objects.create(
            tenant_id=acme.tenant.id, meter="ms", from_seq=0, to_seq=0, value=1000, timestamp=NOON,
            customer=letter.customer, identifier=f"reconcile-{acme.tenant.id.hex}-ms-20261120-1000",
            next_at=NOON,
        )  # fmt: skip
    call_command("stripe_dead", "retry", "all")
    assert "drop it instead" in capsys.readouterr().out
    assert [one.state for one in intents(acme)] == ["dead", "pending"]
    assert [one.state for one in intents(rival)] == ["dropped", "pending"]
    assert expected(acme, "ms", NOON, NEXT) == 1000


def lost(household: Any, day: str = "20261120") -> MeterIntent:
    """What reconciliation has sent in place of the dead one, and is dead too."""
    letter = intents(household)[0]
    with tenant_scope(household.tenant.id):
        return MeterIntent.objects.create(
            tenant_id=household.tenant.id, meter="ms", from_seq=0, to_seq=0, value=letter.value,
            timestamp=NOON, customer=letter.customer, next_at=NOON, state="dead",
            identifier=f"reconcile-{household.tenant.id.hex}-ms-{day}-{letter.value}",
        )  # fmt: skip


def test_of_a_dead_one_and_what_reconciliation_sent_for_it_one_is_said_again(
    letters: None, acme: Any, rival: Any, capsys: Any
) -> None:
    for household in (acme, rival):
        lost(household)
    call_command("stripe_dead", "retry", "all")
    assert capsys.readouterr().out.count("were said again since: drop it") == 2
    for household in (acme, rival):
        assert [one.state for one in intents(household)].count("pending") == 1


def test_one_that_reconciliation_has_sent_and_somebody_dropped_is_still_expected(
    letters: None, acme: Any, rival: Any
) -> None:
    sent = lost(acme)
    with tenant_scope(acme.tenant.id):
        MeterIntent.objects.filter(id=sent.id).update(state="delivered")
    for household in (acme, rival):
        assert dead.drop(intents(household)[0], "as told")
    assert expected(acme, "ms", NOON, NEXT) == 1000
    assert expected(rival, "ms", NOON, NEXT) == 0
