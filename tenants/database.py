"""The roles that PostgreSQL runs our work under.

`DATABASE_URL` names the owner of the schema. Only `migrate` and `flush` work as the owner; every other
connection takes the role `DATABASE_ROLE` as it opens, which owns nothing and cannot bypass row-level
security, and `scope.staff_scope` takes its sister, `…_staff`, whose policies let it see every tenant.
Both are NOLOGIN: they are taken with SET ROLE by a user that was granted them. The role lasts as long as
the session, so a pooler between us and PostgreSQL must pool sessions, not transactions.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.db import NotSupportedError, OperationalError, ProgrammingError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.utils import DataError
from psycopg import errors as pg

from tenants.errors import DatabaseRoleError

_OWNER_FLAG = "stenogate_as_owner"


def app_role() -> str:
    return str(settings.DATABASE_ROLE)


def staff_role() -> str:
    return f"{app_role()}_staff"


def by_hand(owner: str) -> str:
    """The statements that a superuser may run where the schema's owner may not create roles."""
    roles = ", ".join((app_role(), staff_role()))
    lines = [f"CREATE ROLE {role} NOLOGIN;" for role in (app_role(), staff_role())]
    return "\n".join([*lines, f'GRANT {roles} TO "{owner}";'])


def take_role(sender: object, connection: BaseDatabaseWrapper, **_: Any) -> None:
    """Receiver of `connection_created`."""
    if connection.alias == "__no_db__" or getattr(connection, _OWNER_FLAG, False):
        return  # creating and dropping databases, and migrating, is the owner's work
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SET ROLE {app_role()}")
    except (DataError, ProgrammingError, NotSupportedError) as error:
        connection.close()
        # An OperationalError is what Django's own commands expect of a database that is not ready.
        raise OperationalError(
            f"PostgreSQL does not let us be {app_role()} ({str(error).strip()}). Run `manage.py migrate` "
            f"first; if it was run, have a superuser run:\n{by_hand(connection.settings_dict['USER'])}"
        ) from error


@contextmanager
def as_owner(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Work on `connection` as the owner of the schema."""
    if getattr(connection, _OWNER_FLAG, False):
        yield
        return
    setattr(connection, _OWNER_FLAG, True)
    try:
        if connection.connection is not None:
            with connection.cursor() as cursor:
                cursor.execute("RESET ROLE")
        yield
    finally:
        setattr(connection, _OWNER_FLAG, False)
        connection.close()  # the next use takes the role again


def create_roles(_apps: object, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Make both roles if they are not there, grant them to the owner, and give them rights on the tables
    that are there and on those that will be."""
    connection = schema_editor.connection
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        owner = cursor.fetchone()[0]
        try:
            for role in (app_role(), staff_role()):
                _create_role(cursor, role, connection.pg_version)  # type: ignore[attr-defined]
        except ProgrammingError as error:
            if not isinstance(error.__cause__, pg.InsufficientPrivilege):
                raise
            raise DatabaseRoleError(
                f"The database user {owner!r} may not create the roles that row-level security needs "
                f"({str(error).strip()}). Have a superuser run this, then migrate again:\n{by_hand(owner)}"
            ) from error
        both = f"{app_role()}, {staff_role()}"
        rows = "SELECT, INSERT, UPDATE, DELETE"
        for statement in (
            f"GRANT USAGE ON SCHEMA public TO {both}",
            f"GRANT {rows} ON ALL TABLES IN SCHEMA public TO {both}",
            f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {both}",
            f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT {rows} ON TABLES TO {both}",
            f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO {both}",
            f"REVOKE INSERT, UPDATE, DELETE ON django_migrations FROM {both}",
        ):
            cursor.execute(statement)


def _create_role(cursor: Any, role: str, version: int) -> None:
    cursor.execute("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = %s", [role])
    found = cursor.fetchone()
    if found is None:
        cursor.execute(f"CREATE ROLE {role} NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS")
    elif found[0]:
        raise DatabaseRoleError(
            f"The role {role} could bypass row-level security. Have a superuser run: "
            f"ALTER ROLE {role} NOSUPERUSER NOBYPASSRLS; or set DATABASE_ROLE to another name."
        )
    # From 16 on the creator of a role may administer it, yet neither take it nor inherit from it by itself.
    means = ("SET", "USAGE") if version >= 160000 else ("USAGE",)
    cursor.execute("SELECT bool_and(pg_has_role(%s, m)) FROM unnest(%s::text[]) m", [role, list(means)])
    if not cursor.fetchone()[0]:
        cursor.execute(f"GRANT {role} TO CURRENT_USER")
