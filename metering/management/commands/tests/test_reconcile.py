from __future__ import annotations

import io
import json
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from metering.ledger.accounts import account_of
from metering.reconcile.run import _alone
from metering.reconcile.tests.book import ledger, noted, ship, use
from tenants.models import AuditEntry
from tenants.scope import tenant_scope

pytestmark = pytest.mark.django_db

YESTERDAY = timezone.now().replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)
DAY = YESTERDAY.date().isoformat()


def ran(*args: str) -> tuple[int, str]:
    out = io.StringIO()
    try:
        call_command("reconcile", *args, stdout=out, stderr=io.StringIO())
    except SystemExit as status:
        return int(str(status.code)), out.getvalue()
    return 0, out.getvalue()


def test_what_was_mended_is_told_and_the_status_is_0(acme: Any, rival: Any) -> None:
    ship(acme, "a", (0, 500), at=YESTERDAY)
    status, said = ran("--day", DAY)
    assert (status, ledger(acme, "a")) == (0, 500)
    assert "acme  a [0, 500) ms  replayed" in said
    assert ran()[0] == 0  # yesterday is what is not named
    assert "Nothing differs" in ran("--day", DAY)[1]


def test_what_is_left_makes_the_status_1(acme: Any, rival: Any) -> None:
    ship(acme, "s", (0, 500), at=YESTERDAY)
    use(rival, "s", (0, 500), at=YESTERDAY)
    assert ran("--day", DAY)[0] == 1
    status, said = ran("--day", DAY, "--tenant", "acme", "--json")
    assert status == 1
    assert [one["tenant"] for one in json.loads(said)["list"]] == ["acme"]


def test_a_dry_run_changes_nothing(acme: Any, rival: Any) -> None:
    ship(acme, "a", (0, 500), at=YESTERDAY)
    status, said = ran("--day", DAY, "--dry-run")
    assert (status, ledger(acme, "a")) == (1, 0)
    assert "would be replayed" in said


def test_conservative_mode_is_switched_and_nothing_is_run(acme: Any, rival: Any) -> None:
    ship(acme, "a", (0, 500), at=YESTERDAY)
    ran("--conservative", "on", "--tenant", "acme")
    assert account_of(acme.tenant.id).conservative
    assert not account_of(rival.tenant.id).conservative
    assert ran("--day", DAY)[0] == 1
    assert ledger(acme, "a") == 0
    ran("--conservative", "off", "--tenant", "acme")
    assert ran("--day", DAY)[0] == 0
    assert ledger(acme, "a") == 500


def test_what_somebody_has_closed_is_not_raised_again_unless_it_grows(acme: Any, rival: Any) -> None:
    use(acme, "a", (0, 500), at=YESTERDAY)
    ship(rival, "b", (0, 1), at=YESTERDAY)
    ship(acme, "s", (0, 500), at=YESTERDAY)
    ship(rival, "s", (0, 500), at=YESTERDAY)
    assert ran("--day", DAY)[0] == 1
    for number in [one.pk for one in noted(open=True)]:
        assert "is closed" in ran("--close", str(number), "--because", "both of one house")[1]
    for more in ([], ["--dry-run"]):
        status, said = ran("--day", DAY, *more)
        assert status == 0
        assert "Nothing differs but what somebody has closed by hand." in said
    assert noted(open=True) == []
    with tenant_scope(acme.tenant.id):
        entry = AuditEntry.objects.get(action="difference.closed")
    assert entry.details["because"] == "both of one house"
    ship(acme, "s", (500, 700), at=YESTERDAY)
    assert ran("--day", DAY)[0] == 1
    assert {(one.tenant_id, one.ms) for one in noted(open=True)} == {(acme.tenant.id, 700)}


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--day", "yesterday"], "takes a day such as"),
        (["--day", "2999-01-01"], "has not begun"),
        (["--day", "9999-12-31"], "has not begun"),
        (["--day", "0001-01-01"], "no usage of before 2020"),
        (["--tenant", "nobody"], "no tenant 'nobody'"),
        (["--conservative", "on"], "needs --tenant"),
        (["--close", "1"], "needs --because"),
        (["--because", "x"], "goes with --close"),
        (["--close", "1", "--because", "x"], "no open difference #1"),
    ],
)
def test_what_is_wrong_is_named(args: list[str], says: str, acme: Any, rival: Any) -> None:
    with pytest.raises(CommandError, match=says):
        ran(*args)


@pytest.mark.django_db(transaction=True)
def test_another_run_is_named(acme: Any, rival: Any) -> None:
    held, go = threading.Event(), threading.Event()

    def other() -> None:
        with _alone():
            held.set()
            go.wait(30)
        connection.close()

    thread = threading.Thread(target=other)
    thread.start()
    try:
        assert held.wait(30)
        with pytest.raises(CommandError, match="Another reconciliation is running"):
            ran("--day", DAY)
    finally:
        go.set()
        thread.join()
