"""What all tests share: what is tried, how the database is emptied, and the people.

Acme is where Alice is owner and Bob, her teammate, is a developer. Rival has one member, Mallory, and is
there in every test in which Acme is: nothing of hers may be seen or touched.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import settings

# The same examples in every run, however slow the machine. To look further, with others each time:
# `make test only='PATH --hypothesis-profile=default'`.
settings.register_profile("same", derandomize=True, deadline=None, database=None)
settings.load_profile("same")


def pytest_collection_finish() -> None:
    """What was imported until now stays: to look for garbage in it, again and again, takes longer than any
    test."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def quick_clients() -> None:
    """Every client would look through all static files first, which takes longer than its requests."""
    from django.conf import settings

    settings.WHITENOISE_AUTOREFRESH = True


@pytest.fixture(scope="session", autouse=True)
def quick_flush() -> Iterator[None]:
    """After a test that commits, Django would also make the permissions and content types of every app again,
    which takes longer than to empty the tables. They stay."""
    from django.apps import apps
    from django.core.management.commands import flush
    from django.db.models.signals import post_migrate

    def tell_tenants(verbosity: int, interactive: bool, db: str) -> None:
        """Nobody else of ours listens."""
        tenants = apps.get_app_config("tenants")
        post_migrate.send(
            tenants, app_config=tenants, verbosity=verbosity, interactive=interactive, using=db, apps=apps
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flush, "sql_flush", _empty_all_but_those)
        patch.setattr(flush, "emit_post_migrate_signal", tell_tenants)
        yield


def _empty_all_but_those(style, connection, **options) -> list[str]:
    tables = set(connection.introspection.django_table_names(only_existing=True, include_views=False))
    tables -= {"django_content_type", "auth_permission"}
    return connection.ops.sql_flush(style, sorted(tables), **options)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(postgres_server: str) -> None:
    """Asked for by pytest-django before it makes the test database."""
    from django.conf import settings
    from django.db import connections

    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.MD5PasswordHasher"
    ]  # the real one is slow on purpose
    database = connections.settings["default"]
    database["PASSWORD"] = unquote(urlsplit(postgres_server).password or "")
    # Else threads would keep connections open, and the test database could not be dropped.
    database["CONN_MAX_AGE"] = 0


@dataclass(frozen=True)
class Household:
    """A tenant, its owner, a project, a key of it and the key's text."""

    tenant: object
    owner: object
    project: object
    key: object
    secret: str


def _household(name: str, owner: str) -> Household:
    from tenants import services
    from tenants.models import Member, User
    from tenants.scope import tenant_scope

    user = User.objects.create_user(f"{owner}@{name}.example")
    tenant = services.create_tenant(name.capitalize(), name, owner=user)
    with tenant_scope(tenant.id):  # one, since each service enters its own where there is none
        project = services.create_project(tenant, "Calls")
        key, secret = services.issue_key(project, name="Server")
        member = Member.objects.select_related("user").get(user=user)
    return Household(tenant, member, project, key, secret)


@pytest.fixture
def households(db) -> tuple[Household, Household]:
    return _household("acme", "alice"), _household("rival", "mallory")


@pytest.fixture
def acme(households) -> Household:
    return households[0]


@pytest.fixture
def rival(households) -> Household:
    return households[1]


@pytest.fixture
def bob(acme):
    """Alice's teammate, a developer."""
    from tenants import services
    from tenants.models import User
    from tenants.permissions import Role

    return services.add_member(acme.tenant, User.objects.create_user("bob@acme.example"), Role.DEVELOPER)


@pytest.fixture
def staff(db):
    """One of ours."""
    from tenants.models import User

    return User.objects.create_superuser("staff@stenogate.example", "a-long-password")
