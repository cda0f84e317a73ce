from __future__ import annotations

import pytest
from django.contrib.auth import authenticate
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction

from tenants.models import AuditEntry, User
from tenants.scope import staff_scope, tenant_scope

pytestmark = pytest.mark.django_db


def test_the_audit_log_only_grows(acme):
    for scope in (tenant_scope(acme.tenant.id), staff_scope()):
        with scope:
            for change in (lambda rows: rows.update(actor="nobody"), lambda rows: rows.delete()):
                with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
                    change(AuditEntry.objects.all())


def test_not_even_the_owner_of_the_table_changes_the_audit_log(acme):
    with connection.cursor() as cursor:
        cursor.execute("RESET ROLE")
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        AuditEntry.objects.update(actor="nobody")
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        AuditEntry.objects.all()._raw_delete(using="default")


def test_users_sign_in_by_e_mail_in_any_case(db):
    user = User.objects.create_user(" Ada@Example.com ", "a-long-password")
    assert user.email == "ada@example.com"
    assert authenticate(username="ADA@example.COM", password="a-long-password") == user
    assert authenticate(username="ada@example.com", password="wrong") is None
    assert not user.is_staff


def test_an_address_is_taken_once_and_must_be_one(db):
    User.objects.create_user("ada@example.com")
    for address in ("ADA@example.com", "not an address", ""):
        with pytest.raises(ValidationError):
            User.objects.create_user(address)


def test_a_user_without_a_password_does_not_sign_in_by_one(db):
    user = User.objects.create_user("ada@example.com")
    assert not user.has_usable_password()


def test_the_migrations_say_what_the_models_say():
    call_command("makemigrations", "tenants", check=True, dry_run=True, verbosity=0)
