"""Every change of what gateways go by has a number, whoever made it."""

from __future__ import annotations

import threading

import pytest
from django.db import InternalError, ProgrammingError, connection, connections, transaction

from regions import selectors, services
from regions.models import Change
from regions.routing import State
from regions.services.history import version
from tenants.limits import Limits
from tenants.residency import Rule
from tenants.scope import staff_scope, tenant_scope
from tenants.services import change_plan, create_plan, revoke_key, set_plan, set_project_limits

pytestmark = pytest.mark.django_db


def told() -> list[tuple[str, str]]:
    with staff_scope():
        return [(row.what, row.who) for row in Change.objects.order_by("version")]


def test_limits_plans_residency_regions_and_flags_are_one_history(acme, rival, staff):
    plan = create_plan("Big", "big", actor=staff)
    set_plan(acme.tenant, plan, actor=staff)
    set_plan(rival.tenant, plan, actor=staff)
    change_plan(plan, Limits(streams_at_once=7), actor=staff)
    set_project_limits(acme.project, Limits(streams_at_once=3), actor=acme.owner)
    services.add_region("eu", actor="at a terminal")
    services.set_tenant_residency(acme.tenant, Rule("home", "eu"), actor=staff)
    services.set_key_residency(acme.key, Rule("home"), actor="at a terminal")
    services.set_state("eu", State.DRAINING, actor=staff)
    services.set_flag("resume", False, actor=staff)
    revoke_key(acme.key)  # takes effect as soon, and is no configuration
    ours = "staff staff@stenogate.example"
    assert told() == [
        ("tenant.plan_changed", ours),
        ("tenant.plan_changed", ours),
        ("plan.changed", ours),  # once, though both are on it
        ("project.limits_changed", "alice@acme.example"),
        ("region.added", "at a terminal"),
        ("tenant.residency_changed", ours),
        ("key.residency_changed", "at a terminal"),
        ("region.state", ours),
        ("flag.set", ours),
    ]
    with staff_scope():
        versions = list(Change.objects.order_by("version").values_list("version", flat=True))
    assert versions == list(range(versions[0], versions[0] + 9))
    assert selectors.view().version == version() == versions[-1]


def test_it_only_grows_and_gateways_see_no_more_than_its_number(acme):
    services.add_region("eu", actor="test")
    with tenant_scope(acme.tenant.id), pytest.raises(ProgrammingError), transaction.atomic():
        Change.objects.first()
    with staff_scope(), pytest.raises((InternalError, ProgrammingError)), transaction.atomic():
        Change.objects.all().delete()


@pytest.mark.django_db(transaction=True)
def test_who_has_seen_a_number_has_seen_all_below_it():
    """Two at once: the second waits, so its number cannot be seen before the first one's change."""
    services.add_region("eu", actor="test")
    services.add_region("us", actor="test")
    before = version()
    noted, may_commit = threading.Event(), threading.Event()

    def slow() -> None:
        try:
            with transaction.atomic():
                services.set_state("eu", State.DRAINING, actor="test")
                noted.set()
                may_commit.wait(20)
        finally:
            connections.close_all()

    def quick() -> None:
        try:
            services.set_state("us", State.DRAINING, actor="test")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=slow), threading.Thread(target=quick)]
    threads[0].start()
    assert noted.wait(20)
    threads[1].start()
    with connection.cursor() as cursor:
        while True:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
            if cursor.fetchone()[0]:
                break
    assert version() == before
    may_commit.set()
    for thread in threads:
        thread.join()
    found = selectors.view()
    assert found.version == before + 2
    assert {region.state for region in found.regions.values()} == {"draining"}
