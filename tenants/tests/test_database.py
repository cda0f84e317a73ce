from __future__ import annotations

import os
import subprocess
import sys

import psycopg
import pytest
from django.conf import settings
from django.db import OperationalError, ProgrammingError, connection, connections
from psycopg import sql

from tenants.database import as_owner, by_hand

pytestmark = pytest.mark.django_db(transaction=True)


def current_user():
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        return cursor.fetchone()[0]


def test_work_as_the_owner_ends_with_the_block():
    owner = settings.DATABASES["default"]["USER"]
    assert current_user() == "stenogate_app"
    with as_owner(connection), as_owner(connection):
        assert current_user() == owner
        connection.close()
        assert current_user() == owner
    assert current_user() == "stenogate_app"


def test_every_new_connection_takes_the_role(transactional_db):
    connection.close()
    assert current_user() == "stenogate_app"


def test_the_role_owns_nothing_and_may_not_truncate():
    for statement in (
        "TRUNCATE tenants_apikey CASCADE",
        "CREATE TABLE mine (id int)",
        "DELETE FROM django_migrations",
        "ALTER TABLE tenants_apikey DISABLE ROW LEVEL SECURITY",
        "DROP POLICY tenant_rows ON tenants_apikey",
    ):
        with (
            pytest.raises(ProgrammingError, match=r"permission denied|must be owner"),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)


def test_a_role_that_is_missing_is_an_error_that_says_what_to_run(settings):
    settings.DATABASE_ROLE = "nobody_made_it"
    connection.close()
    with pytest.raises(OperationalError, match=r"(?s)manage.py migrate.*CREATE ROLE nobody_made_it NOLOGIN"):
        current_user()
    assert connection.connection is None


@pytest.fixture
def lesser_owner():
    """An owner of an empty database who may not create roles, and a way to be the superuser."""
    given = connections["default"].get_connection_params()
    here = {key: given[key] for key in ("host", "port", "user", "password") if given.get(key)}
    names = {"owner": sql.Identifier("lesser_owner"), "database": sql.Identifier("lesser")}
    with psycopg.connect(**here, dbname="postgres", autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE {owner} LOGIN PASSWORD 'lesser'").format(**names))
        admin.execute(sql.SQL("GRANT {owner} TO CURRENT_USER").format(**names))
        admin.execute(sql.SQL("CREATE DATABASE {database} OWNER {owner}").format(**names))
        try:
            yield f"postgresql://lesser_owner:lesser@{here['host']}:{here['port']}/lesser", admin
        finally:
            admin.execute(sql.SQL("DROP DATABASE {database} WITH (FORCE)").format(**names))
            admin.execute(sql.SQL("DROP ROLE {owner}").format(**names))
            admin.execute("DROP ROLE IF EXISTS lesser_app, lesser_app_staff")


def migrate(url, role):
    environment = {**os.environ, "DATABASE_URL": url, "DATABASE_ROLE": role}
    return subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
        cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip


def test_an_owner_who_may_not_create_roles_is_told_what_to_have_run(lesser_owner):
    """And when it was run, the owner needs no other right."""
    url, admin = lesser_owner
    refused = migrate(url, "lesser_app")
    assert refused.returncode != 0
    assert "may not create the roles that row-level security needs" in refused.stderr
    assert by_hand("lesser_owner").replace("stenogate_app", "lesser_app") in refused.stderr
    admin.execute(by_hand("lesser_owner").replace("stenogate_app", "lesser_app"))
    done = migrate(url, "lesser_app")
    assert done.returncode == 0, done.stderr
    with psycopg.connect(url) as owner:
        owner.execute("SELECT tenants_touch_keys(ARRAY[gen_random_uuid()], now())")
        owner.execute("SET ROLE lesser_app")
        assert owner.execute("SELECT * FROM tenants_find_grant('x')").fetchall() == []


def test_by_hand_is_sql_that_works():
    assert by_hand("me").splitlines() == [
        "CREATE ROLE stenogate_app NOLOGIN;",
        "CREATE ROLE stenogate_app_staff NOLOGIN;",
        'GRANT stenogate_app, stenogate_app_staff TO "me";',
    ]
