from __future__ import annotations

import logging
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from config.celery import app
from metering.models import Reconciliation
from metering.reconcile import tasks
from metering.reconcile.errors import AlreadyRunning
from metering.reconcile.tests.book import ledger, ship, use
from tenants.scope import staff_scope


def ago(days: int) -> date:
    return timezone.now().date() - timedelta(days=days)


def usual() -> list[date]:
    return [ago(2), ago(1)]


def ran(*days: date, started: datetime | None = None, finished: bool = True, **of: Any) -> None:
    """On the second night after each."""
    for day in days:
        at = started or datetime.combine(day + timedelta(days=2), time(3), UTC)
        with staff_scope():
            Reconciliation.objects.create(day=day, started_at=at, finished_at=at if finished else None, **of)


@pytest.mark.django_db
def test_the_older_day_comes_first_and_a_new_installation_has_missed_nothing() -> None:
    assert tasks.days(ago(0)) == usual()


@pytest.mark.django_db
def test_days_that_were_missed_are_made_up_for() -> None:
    ran(ago(8), ago(7), ago(5), ago(3))
    ran(ago(6), finished=False)
    ran(ago(6), dry_run=True)
    ran(ago(4), only=uuid4())
    assert tasks.days(ago(0)) == [ago(6), ago(4), *usual()]
    assert len(tasks.days(ago(-365))) == 45


@pytest.mark.django_db
@pytest.mark.parametrize("arrive", [use, ship])
def test_a_day_of_which_something_came_late_is_looked_at_again(acme, rival, arrive: Any) -> None:
    ran(*(ago(days) for days in range(3, 20)))
    arrive(acme, "s", (0, 500), at=datetime.combine(ago(9), time(12), UTC))
    arrive(rival, "r", (0, 500), at=datetime.combine(ago(2), time(12), UTC))
    assert tasks.days(ago(0)) == [ago(9), *usual()]
    ran(ago(9), started=timezone.now() + timedelta(minutes=1))
    assert tasks.days(ago(0)) == usual()


@pytest.mark.django_db
def test_yesterday_the_day_before_and_what_came_late_are_mended(acme, rival) -> None:
    for days in (1, 2, 3, 44, 46):
        ship(acme, f"a{days}", (0, 500), at=datetime.combine(ago(days), time(12), UTC))
    tasks.reconcile()
    assert [ledger(acme, f"a{days}") for days in (1, 2, 3, 44, 46)] == [500, 500, 500, 500, 0]


@pytest.mark.django_db
def test_what_is_left_is_in_the_log(acme, rival, caplog: pytest.LogCaptureFixture) -> None:
    yesterday = datetime.combine(timezone.now().date(), datetime.min.time(), UTC) - timedelta(hours=12)
    ship(acme, "s", (0, 500), at=yesterday)
    ship(rival, "s", (0, 500), at=yesterday)
    with caplog.at_level(logging.WARNING):
        tasks.reconcile()
    assert sum("wrong_tenant" in one.getMessage() for one in caplog.records) == 2


def test_a_day_that_fails_keeps_no_other_and_another_run_is_no_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[date] = []

    def fails(day: date) -> Any:
        asked.append(day)
        raise errors[len(asked) - 1]

    monkeypatch.setattr(tasks, "run", fails)
    monkeypatch.setattr(tasks, "days", lambda today: usual())
    errors: list[Exception] = [OSError("away"), AlreadyRunning("busy")]
    with pytest.raises(OSError, match="away"):
        tasks.reconcile()
    assert len(asked) == 2
    asked, errors = [], [AlreadyRunning("busy"), AlreadyRunning("busy")]
    tasks.reconcile()


def test_beat_calls_it_once_a_day() -> None:
    app.loader.import_default_modules()
    assert "metering.reconcile" in app.tasks
    entry = app.conf.beat_schedule["metering.reconcile"]
    assert entry["options"]["expires"] == 6 * 3600
    assert entry["schedule"].hour == {3}


@pytest.mark.django_db
def test_runs_are_kept(acme, rival) -> None:
    tasks.reconcile()
    with staff_scope():
        assert Reconciliation.objects.filter(finished_at__isnull=False, only=None).count() == 2
