"""The limits themselves, and the services that set them."""

from __future__ import annotations

import json
from dataclasses import asdict
from decimal import Decimal

import pytest
from django.db import IntegrityError, ProgrammingError, connection, transaction
from hypothesis import given
from hypothesis import strategies as st

from tenants import errors, limits, selectors, services
from tenants.limits import UNLIMITED, Limits
from tenants.models import AuditEntry, Plan, Project, Tenant
from tenants.permissions import Role
from tenants.scope import staff_scope, tenant_scope

COUNT = st.none() | st.integers(1, 2**31 - 1)
HOURS = st.none() | st.decimals("0.001", 999_999, places=3)
ANY = st.builds(Limits, COUNT, COUNT, COUNT, HOURS)
SMALL = Limits(streams_at_once=5, openings_a_minute=6, requests_a_second=7, audio_hours_a_day=Decimal("0.5"))


def entries(tenant, action):
    with tenant_scope(tenant.id):
        return list(AuditEntry.objects.filter(action=action).order_by("id"))


def grant(household):
    return selectors.find_grant(household.key.prefix)


# ---- pure


@given(ANY)
def test_limits_come_back_from_json_as_they_were(some):
    assert limits.from_json(json.loads(json.dumps(asdict(some), default=float))) == some
    assert limits.from_json(limits.as_json(some)) == some


@given(ANY)
def test_what_the_services_take_is_what_the_columns_hold(some):
    from tenants.services.limits import checked

    assert checked(some) == some


def test_an_unknown_or_missing_limit_is_none():
    assert limits.from_json({"storage_bytes": 5}) == UNLIMITED


def test_hours_are_milliseconds_where_they_are_counted():
    assert SMALL.audio_ms_a_day == 1_800_000
    assert UNLIMITED.audio_ms_a_day is None


# ---- who is told


@pytest.mark.django_db
def test_a_tenant_is_on_the_default_plan_and_its_projects_have_no_limits(acme):
    found = grant(acme)
    assert (found.plan, found.project_limits) == ("Default", UNLIMITED)
    assert found.plan_limits.streams_at_once == 1000


@pytest.mark.django_db(transaction=True)
def test_gateways_hear_of_every_change_of_a_limit_and_of_whom_it_concerns(acme, rival):
    def told():
        nonlocal moment
        changes = selectors.changes_since(moment)
        moment = changes.moment
        return {change.prefix: change for change in changes.grants}

    moment = selectors.changes_since(None).moment
    plan = services.create_plan("Small", "small", SMALL)
    assert told() == {}
    services.set_plan(acme.tenant, plan)
    assert {prefix: one.plan_limits for prefix, one in told().items()} == {acme.key.prefix: SMALL}
    services.change_plan(plan, Limits(streams_at_once=9), name="Smaller")
    (one,) = told().values()
    assert (one.plan, one.plan_limits) == ("Smaller", Limits(streams_at_once=9))
    services.set_project_limits(rival.project, SMALL)
    assert {prefix: one.project_limits for prefix, one in told().items()} == {rival.key.prefix: SMALL}
    services.set_project_limits(rival.project, SMALL)
    services.set_plan(acme.tenant, plan)
    services.change_plan(plan, Limits(streams_at_once=9))
    assert told() == {}


# ---- services


@pytest.mark.django_db
def test_a_change_of_a_plan_is_in_the_log_of_every_tenant_on_it(acme, rival, staff):
    plan = services.create_plan("Small", "small", actor=staff)
    services.set_plan(acme.tenant, plan, actor=staff)
    services.change_plan(plan, SMALL, actor=staff)
    (moved,) = entries(acme.tenant, "tenant.plan_changed")
    assert (moved.actor, moved.details) == (f"staff {staff}", {"before": "default", "after": "small"})
    (changed,) = entries(acme.tenant, "plan.changed")
    assert changed.subject == plan.id
    assert changed.details["after"]["audio_hours_a_day"] == 0.5
    assert entries(rival.tenant, "plan.changed") == []


@pytest.mark.django_db
def test_a_projects_limits_are_its_tenants_admins_to_set_and_its_plan_is_not(acme, rival, bob):
    services.set_project_limits(acme.project, SMALL, actor=acme.owner)
    assert grant(acme).project_limits == SMALL
    assert grant(rival).project_limits == UNLIMITED
    (entry,) = entries(acme.tenant, "project.limits_changed")
    assert entry.details["after"]["streams_at_once"] == 5
    services.change_role(bob, Role.READ_ONLY)
    plan = services.create_plan("Small", "small")
    for refused in (
        lambda: services.set_project_limits(acme.project, UNLIMITED, actor=bob),
        lambda: services.set_project_limits(acme.project, UNLIMITED, actor=rival.owner),
        lambda: services.set_plan(acme.tenant, plan, actor=acme.owner),
        lambda: services.create_plan("Mine", "mine", actor=acme.owner),
        lambda: services.change_plan(plan, UNLIMITED, actor=acme.owner),
    ):
        with pytest.raises(errors.RoleNotAllowed):
            refused()
    assert grant(acme).project_limits == SMALL


@pytest.mark.django_db
@pytest.mark.parametrize(
    "wrong",
    [
        {"streams_at_once": 0},
        {"openings_a_minute": -1},
        {"requests_a_second": 2**31},
        {"requests_a_second": 1.5},
        {"streams_at_once": True},
        {"audio_hours_a_day": Decimal(0)},
        {"audio_hours_a_day": Decimal("0.0001")},
        {"audio_hours_a_day": Decimal("NaN")},
        {"audio_hours_a_day": Decimal(10**9)},
        {"audio_hours_a_day": "much"},
    ],
    ids=str,
)
def test_a_limit_that_makes_no_sense_is_refused(acme, wrong):
    with pytest.raises(errors.LimitMalformed):
        services.set_project_limits(acme.project, Limits(**wrong))


@pytest.mark.django_db
def test_two_plans_do_not_share_a_slug(db):
    services.create_plan("Small", "small")
    with pytest.raises(errors.SlugTaken):
        services.create_plan("Small again", "small")
    with pytest.raises(errors.SlugMalformed):
        services.create_plan("Other", "An Other")


@pytest.mark.django_db
def test_the_database_holds_no_limit_of_nothing_and_lets_no_tenant_write_a_plan(acme):
    with pytest.raises(IntegrityError), tenant_scope(acme.tenant.id):
        Project.objects.filter(id=acme.project.id).update(streams_at_once=0)
    for change in (
        lambda: Plan.objects.update(streams_at_once=None),
        lambda: Plan.objects.create(name="Mine", slug="mine"),
        lambda: connection.cursor().execute("DELETE FROM tenants_plan"),
    ):
        with tenant_scope(acme.tenant.id):
            assert Plan.objects.count() == 1
            with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
                change()
    with staff_scope():
        assert Tenant.objects.filter(plan__slug="default").count() == 2
