from __future__ import annotations

from datetime import timedelta
from threading import Event, Thread

import pytest
from django.db import connection

from metering import reconcile
from metering.ledger import accounts
from metering.models import Reconciliation
from metering.reconcile import apply, load
from metering.reconcile.run import _alone
from metering.reconcile.tests.book import DAY, NOON, entries, ledger, noted, ship, told, use
from tenants.scope import staff_scope

pytestmark = pytest.mark.django_db

SOON = NOON + timedelta(hours=2)


def test_nothing_differs(acme, rival) -> None:
    for house in (acme, rival):
        name = f"{house.tenant.slug}-1"
        ship(house, name, (0, 2000), (2000, 5000), settled=4800)
        use(house, name, (0, 4800))
    run = reconcile.run(DAY, now=SOON)
    assert run.summary == {"logs": 2, "streams": 0, "differences": 0, "left": 0, "kinds": {}}
    assert run.finished_at is not None
    assert noted() == []


def test_what_was_lost_is_replayed_and_what_was_counted_twice_is_credited_once(acme, rival) -> None:
    ship(acme, "a", (0, 5000))
    use(acme, "a", (1000, 2000))
    ship(acme, "never", (0, 700))
    ship(rival, "b", (0, 1000))
    use(rival, "b", (0, 3000))
    run = reconcile.run(DAY, now=SOON)
    assert (ledger(acme, "a"), ledger(acme, "never"), ledger(rival, "b")) == (5000, 700, 1000)
    assert told(noted(acme)) == [
        ("lost", "replayed", "a", 0, 1000),
        ("lost", "replayed", "a", 2000, 5000),
        ("lost", "replayed", "never", 0, 700),
    ]
    assert told(noted(rival)) == [("double", "credited", "b", 1000, 3000)]
    assert not any(one.open for one in noted())
    assert run.summary["left"] == 0

    before = (entries(acme), entries(rival))
    again = reconcile.run(DAY, now=SOON)
    assert again.summary["differences"] == 0
    assert (entries(acme), entries(rival)) == before
    assert len(noted()) == 4


def test_replayed_usage_has_the_attributes_and_the_moment_of_the_log(acme, rival) -> None:
    ship(acme, "a", (0, 5000))
    reconcile.run(DAY, now=SOON)
    with staff_scope():
        (entry,) = load._rows(
            "SELECT project_id, key_id, model, region, tags, usage_kind, processed_at "
            "FROM metering_ledgerentry WHERE tenant_id = %(tenant)s", {"tenant": acme.tenant.id},
        )  # fmt: skip
    assert entry == (
        acme.project.id, acme.key.id, "m", "local", ["a"], "live", NOON + timedelta(seconds=5)
    )  # fmt: skip


def test_a_ledger_that_cannot_be_written_keeps_no_other_from_its_turn(
    acme, rival, monkeypatch, caplog
) -> None:
    for house in (acme, rival):
        ship(house, house.tenant.slug, (0, 500))
        use(house, house.tenant.slug, (0, 500), post=False)
    real = apply.post_due

    def post_due(tenant, limit):
        if tenant == acme.tenant.id:
            raise ValueError("a counter is below 0")
        return real(tenant, limit)

    monkeypatch.setattr(apply, "post_due", post_due)
    reconcile.run(DAY, now=SOON)
    assert (ledger(acme, "acme"), ledger(rival, "rival")) == (0, 500)
    assert noted() == []
    assert str(acme.tenant.id) in caplog.text


def test_what_is_settled_on_the_day_after_counts_against_the_day_before(acme, rival) -> None:
    tomorrow = NOON + timedelta(days=1)
    for house, settled in ((acme, 0), (rival, 5000)):
        name = house.tenant.slug
        ship(house, name, (0, 5000))
        use(house, name, (0, 5000))
        ship(house, name, settled=settled, at=tomorrow)
    for day in (DAY, tomorrow.date()):
        reconcile.run(day, now=NOON + timedelta(days=4))
    assert (ledger(acme, "acme"), ledger(rival, "rival")) == (0, 5000)
    assert told(noted()) == [("double", "credited", "acme", 0, 5000)]


def test_two_workers_have_a_stream_over_midnight_and_its_gateway_says_the_rest_late(acme, rival) -> None:
    late = NOON + timedelta(hours=11, minutes=59, seconds=55)
    days = (DAY, DAY + timedelta(days=1))
    ship(acme, "r.0", (0, 5000), at=late)  # killed, and not settled
    ship(acme, "r.0", (3000, 9000), epoch=2, settled=9000, at=late, worker="worker.two")
    ship(acme, "r.1", (0, 9000), settled=9000, at=late)
    use(acme, "r.0", (0, 4000), (6000, 9000), at=late)
    use(acme, "r.1", (0, 9000), (500, 12_000), at=late)
    for day in (*days, DAY):
        reconcile.run(day, now=late + timedelta(days=3))
    assert (ledger(acme, "r.0"), ledger(acme, "r.1")) == (9000, 9000)
    use(acme, "r.0", (4000, 6000), (0, 9000), at=late)
    for day in days:
        assert reconcile.run(day, now=late + timedelta(days=3)).summary["left"] == 0
    assert (ledger(acme, "r.0"), ledger(acme, "r.1")) == (9000, 9000)


def test_one_tenant_alone(acme, rival) -> None:
    ship(acme, "a", (0, 500))
    ship(rival, "b", (0, 500))
    run = reconcile.run(DAY, acme.tenant.id, now=SOON)
    assert (run.only, run.tenants) == (acme.tenant.id, 1)
    assert (ledger(acme, "a"), ledger(rival, "b")) == (500, 0)


def test_a_dry_run_says_what_would_be_done_and_does_nothing(acme, rival) -> None:
    ship(acme, "a", (0, 500))
    use(rival, "b", (0, 500))
    ship(rival, "other", (0, 1))
    run = reconcile.run(DAY, dry_run=True, now=SOON)
    assert (ledger(acme, "a"), ledger(rival, "b")) == (0, 500)
    assert run.summary["left"] == 3
    assert {(one.kind, one.action, one.detail, one.open) for one in noted()} == {
        ("lost", "none", "would be replayed", False),
        ("double", "none", "would be credited", False),
    }


def test_in_conservative_mode_only_what_is_too_much_is_mended(acme, rival) -> None:
    for house in (acme, rival):
        ship(house, f"{house.tenant.slug}-lost", (0, 500))
        ship(house, f"{house.tenant.slug}-more", (0, 100))
        use(house, f"{house.tenant.slug}-more", (0, 300))
    accounts.change(acme.tenant.id, actor=None, conservative=True)
    reconcile.run(DAY, now=SOON)
    assert (ledger(acme, "acme-lost"), ledger(acme, "acme-more")) == (0, 100)
    assert (ledger(rival, "rival-lost"), ledger(rival, "rival-more")) == (500, 100)
    assert told(noted(open=True)) == [("lost", "none", "acme-lost", 0, 500)]

    accounts.change(acme.tenant.id, actor=None, conservative=False)
    reconcile.run(DAY, now=SOON)
    assert ledger(acme, "acme-lost") == 500
    assert noted(open=True) == []
    assert len(noted(acme)) == 2  # the same difference, found again and closed


def test_the_same_stream_under_two_tenants_is_raised_until_somebody_acts(acme, rival) -> None:
    ship(acme, "s", (0, 500))
    use(rival, "s", (0, 500))
    for _ in range(2):
        run = reconcile.run(DAY, now=SOON)
        assert run.summary["left"] == 2
        assert (ledger(acme, "s"), ledger(rival, "s")) == (0, 500)
        assert told(noted()) == [
            ("wrong_tenant", "raised", "s", 0, 500), ("wrong_tenant", "raised", "s", 0, 500)
        ]  # fmt: skip
    one_alone = reconcile.run(DAY, acme.tenant.id, now=SOON)
    assert one_alone.summary["kinds"] == {"wrong_tenant": {"raised": 1, "ms": 500}}


def test_what_the_log_may_still_say_is_waited_for_but_not_for_ever(acme, rival) -> None:
    ship(acme, "other", (0, 500), until=NOON, closed=False)
    use(acme, "a", (0, 500))
    use(rival, "b", (0, 500))
    ship(rival, "b", (0, 500), until=NOON, closed=False)
    run = reconcile.run(DAY, now=SOON)
    assert run.summary["left"] == 2
    assert sorted(told(noted(open=True))) == [
        ("double", "waiting", "a", 0, 500), ("lost", "waiting", "other", 0, 500)
    ]  # fmt: skip
    assert ledger(acme, "a") == 500
    reconcile.run(DAY, now=NOON.replace(hour=0) + timedelta(days=2))
    assert (ledger(acme, "a"), ledger(acme, "other"), ledger(rival, "b")) == (0, 500, 500)
    assert noted(open=True) == []


def test_a_log_that_comes_after_the_credit_is_raised(acme, rival) -> None:
    use(acme, "a", (0, 500))
    ship(rival, "b", (0, 1))
    reconcile.run(DAY, now=NOON + timedelta(days=3))
    assert ledger(acme, "a") == 0
    ship(acme, "a", (0, 500))
    reconcile.run(DAY, now=NOON + timedelta(days=3))
    assert ledger(acme, "a") == 0
    assert told(noted(open=True)) == [("lost", "raised", "a", 0, 500)]


def test_without_any_log_nothing_is_compared_and_nothing_credited(acme, rival) -> None:
    use(acme, "a", (0, 500))
    use(rival, "b", (0, 500))
    run = reconcile.run(DAY, now=NOON + timedelta(days=3))
    assert run.summary["logs"] == 0
    assert (ledger(acme, "a"), ledger(rival, "b")) == (500, 500)


def test_a_stream_over_midnight_is_looked_at_as_a_whole(acme, rival) -> None:
    night = NOON.replace(hour=23, minute=59, second=58)
    ship(acme, "a", (0, 1900), (1900, 6000), at=night)
    use(acme, "a", (0, 6000), at=night)
    ship(rival, "b", (0, 1900), (1900, 6000), settled=5000, at=night)
    use(rival, "b", (0, 6000), at=night)
    run = reconcile.run(DAY, now=SOON + timedelta(days=1))
    assert run.summary["streams"] == 2
    assert (ledger(acme, "a"), ledger(rival, "b")) == (6000, 5000)
    assert run.summary["differences"] == 1


def test_usage_that_waits_to_be_posted_is_posted_first(acme, rival) -> None:
    for house in (acme, rival):
        ship(house, f"{house.tenant.slug}-1", (0, 500))
        use(house, f"{house.tenant.slug}-1", (0, 500), post=False)
    run = reconcile.run(DAY, now=SOON)
    assert run.summary["differences"] == 0
    assert (ledger(acme, "acme-1"), ledger(rival, "rival-1")) == (500, 500)


def test_other_days_are_left_alone(acme, rival) -> None:
    ship(acme, "a", (0, 500))
    ship(rival, "b", (0, 500), at=NOON - timedelta(days=1))
    reconcile.run(DAY - timedelta(days=1), now=SOON)
    assert (ledger(acme, "a"), ledger(rival, "b")) == (0, 500)


def test_a_day_that_has_not_begun_is_refused(acme, rival) -> None:
    with pytest.raises(reconcile.DayNotBegun):
        reconcile.run(DAY, now=NOON - timedelta(days=1))


@pytest.mark.django_db(transaction=True)
def test_two_at_once_exclude_each_other(acme, rival) -> None:
    held, go = Event(), Event()

    def other() -> None:
        with _alone():
            held.set()
            go.wait(30)
        connection.close()

    thread = Thread(target=other)
    thread.start()
    try:
        assert held.wait(30)
        with pytest.raises(reconcile.AlreadyRunning):
            reconcile.run(DAY, now=SOON)
    finally:
        go.set()
        thread.join()
    assert reconcile.run(DAY, now=SOON).finished_at is not None
    with staff_scope():
        assert Reconciliation.objects.count() == 1
