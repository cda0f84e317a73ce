"""What an operator does to tenants of a running service, by way of Django's shell in its environment."""

from __future__ import annotations

from dataclasses import dataclass

from tests.acceptance.stack import Stack

RECORDED_WITHIN_S = 30


@dataclass(frozen=True)
class Tenant:
    id: str
    project_id: str
    key: str


def new_tenant(stack: Stack, slug: str) -> Tenant:
    made = stack.shell(f"""
from tenants import services
tenant = services.create_tenant({slug!r}.title(), {slug!r})
project = services.create_project(tenant, "Calls")
key, text = services.issue_key(project, name="acceptance")
answer([tenant.id, project.id, text])
""")
    return Tenant(*made)


def new_key(stack: Stack, tenant: Tenant, *scopes: str) -> str:
    made = stack.shell(f"""
from tenants import services
from tenants.models import Project
from tenants.scope import tenant_scope
with tenant_scope({tenant.id!r}):
    project = Project.objects.get(id={tenant.project_id!r})
_, text = services.issue_key(project, name="one more", scopes={list(scopes or ["listen"])!r})
answer(text)
""")
    return str(made)


def revoke(stack: Stack, tenant: Tenant, key: str) -> float:
    """Revoke the key. Returns the wall-clock time right after the commit."""
    done = stack.shell(f"""
import time
from tenants import keytext, services
from tenants.models import APIKey
from tenants.scope import tenant_scope
with tenant_scope({tenant.id!r}):
    key = APIKey.objects.get(prefix=keytext.prefix_of({key!r}))
services.revoke_key(key)
answer(time.time())
""")
    return float(done)


def usage(stack: Stack, tenant: Tenant, stream: str, expected_ms: int) -> list[tuple[int, int]]:
    """The ranges recorded for a stream, as its tenant sees them, once they add up (or the time is over)."""
    rows = stack.shell(f"""
import time
from metering.models import UsageEvent
from tenants.scope import tenant_scope
deadline = time.monotonic() + {RECORDED_WITHIN_S if expected_ms else 0}
while True:
    with tenant_scope({tenant.id!r}):
        found = UsageEvent.objects.filter(stream={stream!r}).order_by("from_ms")
        rows = list(found.values_list("from_ms", "to_ms"))
    if sum(to - start for start, to in rows) >= {expected_ms} or time.monotonic() > deadline:
        break
    time.sleep(0.2)
answer(rows)
""")
    return [(start, end) for start, end in rows]


def change_account(stack: Stack, tenant: Tenant, settings: str) -> float:
    """Change settings of the tenant's account, as of Python. Returns the wall-clock time after the commit."""
    done = stack.shell(f"""
import time
from decimal import Decimal
from uuid import UUID
from metering.ledger import accounts
accounts.change(UUID({tenant.id!r}), actor=None, {settings})
answer(time.time())
""")
    return float(done)
