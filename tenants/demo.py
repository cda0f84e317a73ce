"""The demo tenant: made once, its secrets kept in one file of whoever runs the demo.

Keys and passwords are stored as hashes only, so the file is the only place to know them from. While it
agrees with the database nothing changes; where it does not, the secret is replaced.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from django.db import connection, transaction

from tenants import selectors, services
from tenants.access import Scope
from tenants.errors import AccessError
from tenants.limits import Limits
from tenants.models import APIKey, Plan, Project, Tenant, User
from tenants.scope import staff_scope

SLUG, NAME, EMAIL = "demo", "Demo", "demo@stenogate.local"
# There, so that they can be seen and tried; so high that no measurement on one machine meets them.
LIMITS = Limits(streams_at_once=10_000)
_LOCK = 0x57E0_DE30


@dataclass(frozen=True)
class Secrets:
    api_key: str
    admin_user: str
    admin_password: str


def read(path: Path) -> Secrets | None:
    """What the file says; None if it is not there or not ours."""
    try:
        known = json.loads(path.read_text())
        found = Secrets(known["api_key"], known["admin_user"], known["admin_password"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if all(isinstance(value, str) for value in asdict(found).values()) else None


def write(path: Path, found: Secrets) -> None:
    """For its owner's eyes only, and whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.new")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(asdict(found), file)
    unfinished.replace(path)


def seed(known: Secrets | None) -> Secrets:
    """See to it that the demo tenant, its project, its user and a key are there; `known` stays if it fits."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])  # two who seed at once
        user, password = _user(known)
        project = _project(user)
        return Secrets(_key(project, known), user.email, password)


def _user(known: Secrets | None) -> tuple[User, str]:
    user = User.objects.filter(email=EMAIL).first()
    if (
        user is not None
        and known is not None
        and user.is_active
        and user.check_password(known.admin_password)
    ):
        return user, known.admin_password
    password = secrets.token_urlsafe(12)
    if user is None:
        return User.objects.create_superuser(EMAIL, password, name=NAME), password
    user.is_active = True
    user.set_password(password)
    user.save(update_fields=["is_active", "password"])
    return user, password


def _project(owner: User) -> Project:
    with staff_scope():
        tenant = Tenant.objects.filter(slug=SLUG).first() or services.create_tenant(NAME, SLUG, owner=owner)
        if not Plan.objects.filter(slug=SLUG).exists():
            services.set_plan(tenant, services.create_plan(NAME, SLUG, LIMITS))
        project = Project.objects.filter(tenant=tenant, archived_at=None).order_by("created_at").first()
        return project or services.create_project(tenant, NAME)


def _key(project: Project, known: Secrets | None) -> str:
    if known is not None:
        try:
            if selectors.find_key(known.api_key, scope=Scope.LISTEN).project_id == project.id:
                return known.api_key
        except AccessError:
            pass
    with staff_scope():
        # Nobody is known to have their texts any more.
        for lost in APIKey.objects.filter(project=project, name=NAME, revoked_at=None):
            services.revoke_key(lost)
    return services.issue_key(project, name=NAME, scopes=list(Scope))[1]
