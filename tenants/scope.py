"""Whose unit of work this is. Row-level security shows and takes rows only for the tenant set here.

A scope opens a transaction (or a savepoint in one) and sets the tenant for its length: nothing is left on
the connection for the next user of it. What runs on commit runs after the scope, without a tenant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ParamSpec, TypeVar
from uuid import UUID

from channels.db import database_sync_to_async
from django.db import connection, transaction

from tenants.database import app_role, staff_role
from tenants.errors import ScopeConflict

P = ParamSpec("P")
T = TypeVar("T")

# Kept on the connection itself, which is a thread's own, as the settings are that it stands for.
_ATTRIBUTE = "stenogate_scope"


@dataclass(frozen=True)
class Scope:
    tenant_id: UUID | None  # None: staff, who see every tenant


def current() -> Scope | None:
    """The scope of this thread's connection; None outside of any, where queries see nothing."""
    scope: Scope | None = getattr(connection, _ATTRIBUTE, None)
    return scope


@contextmanager
def tenant_scope(tenant_id: UUID) -> Iterator[None]:
    """Work for one tenant. Inside a staff scope it narrows what staff may do to this tenant."""
    outer = current()
    if outer is not None and outer.tenant_id not in (None, tenant_id):
        raise ScopeConflict(
            f"This unit of work belongs to tenant {outer.tenant_id} and cannot also work for {tenant_id}. "
            "Leave the first scope before entering the second."
        )
    with _scope(Scope(tenant_id)):
        yield


@contextmanager
def staff_scope() -> Iterator[None]:
    """Work on all tenants. Only the staff admin and management commands may, never a customer's request."""
    outer = current()
    if outer is not None and outer.tenant_id is not None:
        raise ScopeConflict(
            f"This unit of work belongs to tenant {outer.tenant_id} and cannot widen to all tenants."
        )
    with _scope(Scope(None)):
        yield


async def in_tenant(tenant_id: UUID, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """From async code: run `function`, which is sync, in a thread inside `tenant_scope(tenant_id)`."""

    def run() -> T:
        with tenant_scope(tenant_id):
            return function(*args, **kwargs)

    return await database_sync_to_async(run)()


@contextmanager
def _scope(scope: Scope) -> Iterator[None]:
    outer = current()
    nested = connection.in_atomic_block
    with transaction.atomic():
        if scope != outer:
            _set(scope)
        setattr(connection, _ATTRIBUTE, scope)
        try:
            yield
        finally:
            setattr(connection, _ATTRIBUTE, outer)
        # The end of a transaction, and a rollback to a savepoint, undo the settings; a savepoint that is
        # released does not.
        if nested and scope != outer and not connection.needs_rollback:
            _set(outer)


def _set(scope: Scope | None) -> None:
    role = staff_role() if scope is not None and scope.tenant_id is None else app_role()
    tenant = str(scope.tenant_id) if scope is not None and scope.tenant_id is not None else ""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('role', %s, true), set_config('app.tenant', %s, true)", [role, tenant]
        )
