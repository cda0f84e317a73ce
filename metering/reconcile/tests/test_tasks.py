from __future__ import annotations

import logging
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from config.celery import app
from metering.models import Reconciliation
from metering.reconcile import tasks
from metering.reconcile.errors import AlreadyRunning
from metering.reconcile.tests.book import ledger, ship
from tenants.scope import staff_scope


def test_the_older_day_comes_first() -> None:
    assert tasks.days(date(2026, 3, 1)) == [date(2026, 2, 27), date(2026, 2, 28)]


@pytest.mark.django_db
def test_yesterday_and_the_day_before_are_mended(acme, rival) -> None:
    today = datetime.combine(timezone.now().date(), datetime.min.time(), UTC)
    for ago in (1, 2, 3):
        ship(acme, f"a{ago}", (0, 500), at=today - timedelta(days=ago, hours=-12))
    tasks.reconcile()
    assert [ledger(acme, f"a{ago}") for ago in (1, 2, 3)] == [500, 500, 0]


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
