from __future__ import annotations

import asyncio
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import OperationalError, ProgrammingError, connection, connections, transaction

from tenants import scope
from tenants.errors import ScopeConflict
from tenants.models import Project
from tenants.scope import in_tenant, staff_scope, tenant_scope

pytestmark = pytest.mark.django_db


def settings_now():
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user, coalesce(current_setting('app.tenant', true), '')")
        return cursor.fetchone()


OUTSIDE = ("stenogate_app", "")
STAFF = ("stenogate_app_staff", "")


def inside(household):
    return ("stenogate_app", str(household.tenant.id))


def test_a_scope_ends_where_it_ends(acme, rival):
    with tenant_scope(acme.tenant.id):
        assert settings_now() == inside(acme)
    assert settings_now() == OUTSIDE
    with tenant_scope(rival.tenant.id):
        assert settings_now() == inside(rival)
    assert settings_now() == OUTSIDE
    assert scope.current() is None


def test_it_ends_with_an_exception_too_and_takes_its_work_with_it(acme):
    def work():
        with tenant_scope(acme.tenant.id):
            Project.objects.create(tenant=acme.tenant, name="Lost")
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert settings_now() == OUTSIDE
    assert scope.current() is None
    with tenant_scope(acme.tenant.id):
        assert not Project.objects.filter(name="Lost").exists()


def test_another_tenants_scope_inside_is_refused_by_name(acme, rival):
    with tenant_scope(acme.tenant.id):
        with pytest.raises(ScopeConflict, match=str(rival.tenant.id)):
            tenant_scope(rival.tenant.id).__enter__()
        with tenant_scope(acme.tenant.id):
            assert settings_now() == inside(acme)
        assert settings_now() == inside(acme)


def test_a_tenants_scope_does_not_widen_to_staff(acme):
    with tenant_scope(acme.tenant.id), pytest.raises(ScopeConflict), staff_scope():
        pass


def test_staff_see_all_and_narrow_to_one(acme, rival):
    with staff_scope():
        assert settings_now() == STAFF
        assert Project.objects.count() == 2
        with tenant_scope(acme.tenant.id):
            assert settings_now() == inside(acme)
            assert Project.objects.get().tenant_id == acme.tenant.id
        assert settings_now() == STAFF
        with pytest.raises(KeyError), tenant_scope(rival.tenant.id):
            raise KeyError
        assert settings_now() == STAFF
        assert Project.objects.count() == 2
    assert settings_now() == OUTSIDE


def test_a_scope_that_will_be_rolled_back_ends_too(acme):
    with tenant_scope(acme.tenant.id):
        transaction.set_rollback(True)
    assert settings_now() == OUTSIDE


def test_an_error_in_the_database_leaves_the_scope_as_it_was(acme):
    with tenant_scope(acme.tenant.id):
        with pytest.raises(ProgrammingError), transaction.atomic():
            Project.objects.raw("SELECT nothing")[0]
        assert settings_now() == inside(acme)


def test_a_tenant_that_is_not_there_sees_nothing(acme):
    with tenant_scope(uuid.uuid4()):
        assert not Project.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_nothing_is_left_on_the_connection_after_the_commit(acme):
    with tenant_scope(acme.tenant.id):
        assert settings_now() == inside(acme)
        seen = []
        transaction.on_commit(lambda: seen.append(settings_now()))
    assert seen == [OUTSIDE]
    assert settings_now() == OUTSIDE


@pytest.mark.django_db(transaction=True)
def test_a_lost_connection_leaves_no_scope_behind(acme):
    def work():
        with tenant_scope(acme.tenant.id):
            connection.connection.close()  # as when the server went away
            settings_now()

    with pytest.raises(OperationalError):
        work()
    connection.close()
    assert scope.current() is None
    assert settings_now() == OUTSIDE


@pytest.mark.django_db(transaction=True)
def test_threads_do_not_share_a_scope(acme, rival):
    def other_thread():
        try:
            with tenant_scope(rival.tenant.id):
                return settings_now()
        finally:
            connections.close_all()

    with tenant_scope(acme.tenant.id), ThreadPoolExecutor(1) as pool:
        assert pool.submit(other_thread).result(20) == inside(rival)
        assert scope.current() == scope.Scope(acme.tenant.id)
        assert settings_now() == inside(acme)


@pytest.mark.django_db(transaction=True)
async def test_async_units_of_work_do_not_mix(households):
    def names():
        return {str(project.tenant_id) for project in Project.objects.all()}, settings_now()

    wanted = [households[n % 2] for n in range(20)]
    answers = await asyncio.gather(*(in_tenant(h.tenant.id, names) for h in wanted))
    assert answers == [({str(h.tenant.id)}, inside(h)) for h in wanted]


@pytest.mark.django_db(transaction=True)
async def test_async_passes_arguments_answers_and_errors(acme):
    def create(tenant, *, name):
        return Project.objects.create(tenant=tenant, name=name)

    project = await in_tenant(acme.tenant.id, create, acme.tenant, name="Async")
    assert project.name == "Async"
    with pytest.raises(ZeroDivisionError):
        await in_tenant(acme.tenant.id, lambda: 1 // 0)
