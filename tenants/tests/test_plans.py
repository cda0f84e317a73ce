from __future__ import annotations

import pytest
from django.core.management import call_command
from django.db import connection

from tenants import selectors, services
from tenants.limits import DEFAULT_PLAN, limits_of
from tenants.models import Plan
from tenants.plans import LIMITS
from tenants.scope import staff_scope


@pytest.mark.django_db
def test_the_migration_has_made_the_default_plan():
    plan = Plan.objects.get(id=DEFAULT_PLAN)
    assert (plan.slug, limits_of(plan)) == ("default", LIMITS)


@pytest.mark.django_db(transaction=True)
def test_after_a_flush_tenants_can_still_be_made():
    call_command("flush", interactive=False, verbosity=0)
    assert services.create_tenant("Acme", "acme").plan_id == DEFAULT_PLAN


@pytest.mark.django_db(transaction=True)
def test_what_staff_made_of_the_default_plan_stays():
    services.change_plan(Plan.objects.get(id=DEFAULT_PLAN), LIMITS, name="Everybody")
    call_command("migrate", verbosity=0)
    with staff_scope():
        assert Plan.objects.get(id=DEFAULT_PLAN).name == "Everybody"


@pytest.mark.django_db(transaction=True)
def test_what_is_from_before_there_were_plans_is_on_the_default_one_and_waits_to_be_posted(acme, rival):
    try:
        call_command("migrate", "tenants", "0003", verbosity=0)
        with staff_scope(), connection.cursor() as cursor:
            for tenant in (acme.tenant, rival.tenant):
                cursor.execute(
                    """INSERT INTO metering_usageevent (tenant_id, project_id, key_id, event_id, stream,
                           from_ms, to_ms, model, region, worker, tags, recorded_at)
                       VALUES (%s, %s, %s, 's:0', 's', 0, 5, 'm', 'r', 'w', '{}', '2026-01-01 00:00+00')""",
                    [tenant.id, acme.project.id, acme.key.id],
                )
            cursor.execute("SELECT count(*) FROM tenants_tenant WHERE slug = 'acme'")
            assert cursor.fetchone() == (1,)
            cursor.execute("SELECT prefix FROM tenants_find_grant(%s)", [acme.key.prefix])
            assert cursor.fetchone() == (acme.key.prefix,)
    finally:
        call_command("migrate", verbosity=0)
    assert selectors.find_grant(acme.key.prefix).plan_limits == LIMITS
    with staff_scope(), connection.cursor() as cursor:
        cursor.execute(
            """SELECT e.tenant_id FROM metering_unposted u JOIN metering_usageevent e ON e.id = u.event_id
               WHERE e.processed_at = '2026-01-01 00:00+00'"""
        )
        assert {row[0] for row in cursor.fetchall()} == {acme.tenant.id, rival.tenant.id}
