"""Another tenant's rows cannot be read, changed, deleted, made, or guessed by id: for every model there is.

The models come from the app registry, so a new one is here without being named. `make_row` fills what a
model requires by the type of its fields.
"""

from __future__ import annotations

import itertools
import secrets
import uuid
from decimal import Decimal

import pytest
from django.apps import apps
from django.db import IntegrityError, ProgrammingError, connection, transaction
from django.utils import timezone
from psycopg import errors as pg

from tenants.models import Tenant
from tenants.scope import staff_scope, tenant_scope

COUNTER = itertools.count(1)


def tenant_field(model):
    if model is Tenant:
        return Tenant._meta.pk
    return next((f for f in model._meta.concrete_fields if f.related_model is Tenant), None)


OWNED = [model for model in apps.get_models(include_auto_created=True) if tenant_field(model)]
LINKS = [
    (model, field)
    for model in OWNED
    for field in model._meta.concrete_fields
    if field.related_model in OWNED and field.related_model is not Tenant
]

pytestmark = pytest.mark.django_db
each_model = pytest.mark.parametrize("model", OWNED, ids=lambda model: model._meta.label)


def make_row(model, tenant, **given):
    """A row of `model` that belongs to `tenant`, with all that it points to."""
    values = {
        f.name: value(f, tenant) for f in model._meta.concrete_fields if required(f) and f.name not in given
    }
    return model.objects.create(**values, **given)


def required(field):
    given = field.related_model is not None or field.get_internal_type() == "BigIntegerField"
    numbered = field.primary_key and not given
    return not (field.null or field.has_default() or numbered or getattr(field, "auto_now_add", False))


def value(field, tenant):
    if field.related_model is Tenant:
        return tenant
    if field.related_model in OWNED:
        return make_row(field.related_model, tenant)
    if field.related_model is not None:
        return make_row(field.related_model, tenant)
    if field.choices:
        return field.choices[0][0]
    kind = field.get_internal_type()
    makers = {
        "UUIDField": uuid.uuid4,
        "DateTimeField": timezone.now,
        "DateField": lambda: timezone.now().date(),
        "DecimalField": lambda: Decimal(1),
        "BinaryField": lambda: secrets.token_bytes(32),
        "EmailField": lambda: f"{secrets.token_hex(6)}@rows.example",
        "ArrayField": list,
        "BooleanField": bool,
        "JSONField": dict,
    }
    if kind in makers:
        return makers[kind]()
    if "Integer" in kind:
        return next(COUNTER)
    if field.max_length == 3:
        return "USD"  # a currency
    return "x" + secrets.token_hex(5)[: (field.max_length or 99) - 1]


def own_row(model, tenant):
    """As its tenant would make it; a tenant's own row exists already."""
    with tenant_scope(tenant.id):
        return Tenant.objects.get(id=tenant.id) if model is Tenant else make_row(model, tenant)


def refused(error):
    return isinstance(error.__cause__, pg.InsufficientPrivilege)


def execute(sql, *params):
    """The number of rows touched; None when PostgreSQL refuses."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(sql, params)
            return cursor.rowcount
    except ProgrammingError as error:
        if not refused(error):
            raise
        return None


def test_there_are_tenant_owned_models():
    assert {
        "tenants.Tenant",
        "tenants.Member",
        "tenants.Project",
        "tenants.APIKey",
        "tenants.AuditEntry",
    } <= {model._meta.label for model in OWNED}


@each_model
def test_another_tenants_rows_are_not_read(model, acme, rival):
    mine, theirs = own_row(model, acme.tenant), own_row(model, rival.tenant)
    with tenant_scope(acme.tenant.id):
        seen = set(model.objects.values_list("pk", flat=True))
        assert mine.pk in seen
        assert theirs.pk not in seen
        assert not model.objects.filter(pk=theirs.pk).exists()
        owners = set(model.objects.values_list(tenant_field(model).name, flat=True))
        assert owners == {acme.tenant.id}


@each_model
def test_without_a_tenant_nothing_is_read_or_written(model, acme, rival):
    row = own_row(model, acme.tenant)
    assert not model.objects.exists()
    table, pk = model._meta.db_table, model._meta.pk.column
    assert not execute(f"UPDATE {table} SET {pk} = {pk} WHERE {pk} = %s", row.pk)
    assert not execute(f"DELETE FROM {table} WHERE {pk} = %s", row.pk)
    with pytest.raises(ProgrammingError) as caught, transaction.atomic():
        copy_for(row, acme.tenant)
    assert refused(caught.value)


@each_model
def test_another_tenants_rows_are_not_changed_or_deleted(model, acme, rival):
    theirs = own_row(model, rival.tenant)
    table, pk = model._meta.db_table, model._meta.pk.column
    with tenant_scope(acme.tenant.id):
        assert not execute(f"UPDATE {table} SET {pk} = {pk} WHERE {pk} = %s", theirs.pk)
        assert not execute(f"DELETE FROM {table} WHERE {pk} = %s", theirs.pk)
        assert not execute(f"SELECT 1 FROM {table} WHERE {pk} = %s FOR UPDATE", theirs.pk)
    with staff_scope():
        assert model.objects.filter(pk=theirs.pk).exists()


@each_model
def test_rows_are_not_made_for_another_tenant_nor_given_to_one(model, acme, rival):
    mine, theirs = own_row(model, acme.tenant), own_row(model, rival.tenant)
    table, pk, owner = model._meta.db_table, model._meta.pk.column, tenant_field(model).column
    with tenant_scope(acme.tenant.id):
        with pytest.raises(ProgrammingError) as caught, transaction.atomic():
            copy_for(theirs, rival.tenant)
        assert refused(caught.value)
        given = uuid.uuid4() if model is Tenant else rival.tenant.id
        assert execute(f"UPDATE {table} SET {owner} = %s WHERE {pk} = %s", given, mine.pk) is None


@pytest.mark.parametrize(
    ("model", "field"),
    LINKS,
    ids=lambda part: getattr(getattr(part, "_meta", None), "label", None) or part.name,
)
def test_rows_do_not_point_to_another_tenants_rows(model, field, acme, rival):
    """A plain foreign key would let them: PostgreSQL checks it past row-level security."""
    theirs = own_row(field.related_model, rival.tenant)
    with tenant_scope(acme.tenant.id):
        make_row(model, acme.tenant, **{field.name: theirs})
        with pytest.raises(IntegrityError), transaction.atomic():
            execute("SET CONSTRAINTS ALL IMMEDIATE")
        transaction.set_rollback(True)


def copy_for(row, tenant):
    """Insert a row like `row`, with a key of its own."""
    model = type(row)
    fresh = {
        f.name: value(f, tenant)
        for f in model._meta.concrete_fields
        if f.unique and not f.primary_key and not f.null
    }
    values = {
        f.attname: getattr(row, f.attname)
        for f in model._meta.concrete_fields
        if not f.primary_key and f.name not in fresh
    }
    if model is Tenant:
        values["id"] = uuid.uuid4()
    model.objects.create(**values, **fresh)


# ---- the catalogue


def unprotected() -> set[str]:
    """Tables with a tenant and without forced row-level security, or without a policy about `app.tenant`."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT c.relname FROM pg_class c
               WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace
                 AND (c.relname = 'tenants_tenant' OR c.relname = ANY (%s) OR EXISTS (
                     SELECT FROM pg_attribute a
                     WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped))
                 AND NOT (c.relrowsecurity AND c.relforcerowsecurity AND EXISTS (
                     SELECT FROM pg_policy p
                     WHERE p.polrelid = c.oid AND p.polcmd = '*' AND p.polroles = '{0}'
                       AND pg_get_expr(p.polqual, p.polrelid) LIKE '%%app.tenant%%'
                       AND pg_get_expr(p.polwithcheck, p.polrelid) LIKE '%%app.tenant%%'))""",
            [[model._meta.db_table for model in OWNED]],
        )
        return {name for (name,) in cursor.fetchall()}


def test_every_table_with_a_tenant_has_a_forced_policy():
    assert unprotected() == set(), "use tenants.rls.enable_rls in the migration that makes the table"


def test_a_table_without_a_policy_would_be_noticed():
    before = unprotected()
    with connection.cursor() as cursor:
        cursor.execute("RESET ROLE")  # as a migration works
        cursor.execute("CREATE TABLE forgotten (id bigint, tenant_id uuid)")
        cursor.execute("CREATE TABLE not_forced (id bigint, tenant_id uuid)")
        cursor.execute("ALTER TABLE not_forced ENABLE ROW LEVEL SECURITY")
    assert unprotected() - before == {"forgotten", "not_forced"}


def test_the_work_is_done_under_a_role_that_cannot_bypass():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_user, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user"
        )
        assert cursor.fetchone() == ("stenogate_app", False, False)
        cursor.execute("SELECT pg_has_role('stenogate_app', 'stenogate_app_staff', 'MEMBER')")
        assert cursor.fetchone() == (False,)
        cursor.execute("SELECT tableowner FROM pg_tables WHERE tablename = 'tenants_apikey'")
        assert cursor.fetchone() != ("stenogate_app",)
