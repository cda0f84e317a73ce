"""Celery's side of reconciliation: every night yesterday, and once more the day before, for late logs; and of
the days before those what was missed, or has changed since."""

from __future__ import annotations

import logging
from datetime import date, timedelta

from celery import shared_task
from django.utils import timezone

from metering.models import Difference, Reconciliation
from metering.reconcile import load
from metering.reconcile.errors import AlreadyRunning
from metering.reconcile.report import line
from metering.reconcile.run import differences, run

log = logging.getLogger(__name__)

# In the log by name; all are in the table of differences, and in the report of manage.py reconcile.
NAMED = 50
# Of what is older a person asks by hand.
LOOK_BACK = timedelta(days=45)


@shared_task(name="metering.reconcile")
def reconcile() -> None:
    """One day that fails keeps the other from nothing."""
    today = timezone.now().date()
    failed: Exception | None = None
    for day in days(today):
        try:
            _tell(run(day))
        except AlreadyRunning as error:
            log.warning("%s: %s: %s", "metering.reconcile", day, error)
        except Exception as error:
            log.exception("%s: %s", "metering.reconcile", day)
            failed = error
    if failed is not None:
        raise failed


def days(today: date) -> list[date]:
    """The oldest first."""
    usual = [today - timedelta(days=2), today - timedelta(days=1)]
    first, before = today - LOOK_BACK, usual[0]
    return sorted(load.changed(first, before) | load.missed(first, before)) + usual


def _tell(done: Reconciliation) -> None:
    found = differences(done)
    left = [one for one in found if one.open]
    log.info("%s: %s: %d differences, %d left", "metering.reconcile", done.day, len(found), len(left))
    for one in left[:NAMED]:
        _warn(one)


def _warn(one: Difference) -> None:
    log.warning("%s: %s %s: %s", "metering.reconcile", one.day, one.kind, line(one))
