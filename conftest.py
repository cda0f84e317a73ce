"""The people of the tests. Acme is where Alice is owner and Bob, her teammate, is a developer. Rival has
one member, Mallory, and is there in every test in which Acme is: nothing of hers may be seen or touched."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import pytest


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
    project = services.create_project(tenant, "Calls")
    key, secret = services.issue_key(project, name="Server")
    with tenant_scope(tenant.id):
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
