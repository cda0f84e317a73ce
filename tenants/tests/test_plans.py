from __future__ import annotations

import pytest
from django.core.management import call_command

from tenants import services
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
