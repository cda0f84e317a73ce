from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest

from metering import reconcile
from metering.models import Difference, Reconciliation
from metering.reconcile import report
from metering.reconcile.run import differences
from metering.reconcile.tests.book import DAY, NOON, ship, use
from tenants.models import Tenant

LATER = NOON + timedelta(hours=2)


@pytest.mark.django_db
def test_a_person_can_read_it(acme, rival) -> None:
    ship(acme, "a", (0, 5000))
    use(acme, "a", (0, 4000))
    ship(rival, "s", (0, 700))
    use(acme, "s", (0, 700))
    run = reconcile.run(DAY, now=LATER)
    assert (
        re.sub(r"#\d+", "#1", report.text(run, differences(run)))
        == f"""\
Reconciliation of 2026-11-20 (UTC), 2 tenants

lost: processed, and not in the ledger (1, 1000 ms)
  acme  a [4000, 5000) ms  replayed

wrong_tenant: recorded under more than one tenant (2, 1400 ms)
  acme  s [0, 700) ms  raised (#1): double here, and also recorded under {rival.tenant.id}
  rival  s [0, 700) ms  raised (#1): lost here, and also recorded under {acme.tenant.id}

2 left for a later run or a person.
"""
    )
    found = report.document(run, differences(run))
    assert json.loads(json.dumps(found)) == found
    assert (found["day"], found["left"], len(found["list"])) == ("2026-11-20", 2, 3)


@pytest.mark.django_db
def test_nothing_to_say(acme, rival) -> None:
    run = reconcile.run(DAY, now=LATER)
    assert "compared with nothing" in report.text(run, differences(run))
    ship(acme, "a", (0, 500))
    use(acme, "a", (0, 500))
    run = reconcile.run(DAY, now=LATER)
    assert report.text(run, differences(run)).splitlines()[1:] == [
        "Nothing differs: ledger, inference log, payment provider and invoices agree."
    ]


def test_many_of_a_kind_are_counted() -> None:
    run = Reconciliation(day=DAY, tenants=1, dry_run=True, summary={"logs": 1})
    found = [
        Difference(
            tenant=Tenant(slug="acme"), kind="lost", action="none", stream=f"s{n}", from_ms=0, to_ms=5, ms=5
        )
        for n in range(report.LINES + 3)
    ]
    said = report.text(run, found)
    assert "a dry run: nothing was changed" in said
    assert "  and 3 more; --json names them all" in said
    assert f"s{report.LINES - 1} " in said
    assert f"s{report.LINES} " not in said
