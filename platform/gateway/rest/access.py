"""Whose request it is, what its key may see, and the work it causes in the database.

A key belongs to a project. It sees that project; with `projects:read` it sees the other projects of its
tenant too, each thing in them by its own scope. It changes things in its own project only. Whatever else has
an id is not there for it: 404, whether it exists or not.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar
from uuid import UUID

from channels.db import database_sync_to_async
from django.db import connection
from django.http import HttpRequest

from gateway import control, process
from gateway.consumers import client_address
from gateway.errors import Unavailable, UnknownId
from tenants.access import KeyGrant, Scope
from tenants.models import Project
from tenants.scope import tenant_scope

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 4
MAX_WAITING = 64
STATEMENT_TIMEOUT_MS = 10_000

# Of those who wait for the payment provider, which may take long to answer: no report waits behind them.
OUTSIDE_THREADS, OUTSIDE_MOST = 2, 10

# Not those that look up keys: no report makes a stream wait.
_threads = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="rest")
_outside = ThreadPoolExecutor(max_workers=OUTSIDE_THREADS, thread_name_prefix="rest-outside")
_under_way = _under_way_outside = 0


class Needs:
    """The check before an operation: a key with `scope`, or with any (None)."""

    def __init__(self, scope: Scope | None, *, tokens: bool = True) -> None:
        self.scope, self.tokens = scope, tokens

    async def __call__(self, request: HttpRequest) -> KeyGrant:
        house = process.current()
        asgi = request.scope  # type: ignore[attr-defined]  # Django's types know WSGI only
        address = client_address(asgi, trusted_proxy=house.trusted_proxy)
        who = await house.authenticator.authenticate(asgi, self.scope, address, tokens_allowed=self.tokens)
        await house.admission.request(who.grant)
        return who.grant


def grant_of(request: HttpRequest) -> KeyGrant:
    grant: KeyGrant = request.auth  # type: ignore[attr-defined]
    return grant


async def for_tenant(grant: KeyGrant, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do `work`, which asks the database, in the tenant's scope, for a bounded time."""

    def run() -> T:
        with tenant_scope(grant.tenant_id):
            with connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL statement_timeout = {STATEMENT_TIMEOUT_MS}")
            return work(*args, **kwargs)

    return await in_thread(run)


async def in_thread(run: Callable[[], T]) -> T:
    """For work that opens its own scope, if it needs one, and ends by itself."""
    global _under_way
    control.current().refuse_if_away()
    if _under_way >= THREADS + MAX_WAITING:
        raise Unavailable("Too many reports are being made at the moment.", retry_after_s=2)
    _under_way += 1
    try:
        with control.current().noting():
            return await database_sync_to_async(run, thread_sensitive=False, executor=_threads)()
    finally:
        _under_way -= 1


async def outside(run: Callable[[], T]) -> T:
    """For work that waits for somebody else's server, with a time limit of its own."""
    global _under_way_outside
    control.current().refuse_if_away()
    if _under_way_outside >= OUTSIDE_MOST:
        raise Unavailable("The payment provider takes long to answer at the moment.", retry_after_s=10)
    _under_way_outside += 1
    try:
        return await database_sync_to_async(run, thread_sensitive=False, executor=_outside)()
    finally:
        _under_way_outside -= 1


def projects_seen(grant: KeyGrant) -> UUID | None:
    """The one project whose usage and receipts a key sees; None: all of its tenant."""
    return None if Scope.BILLING_READ in grant.scopes else grant.project_id


def project_of(grant: KeyGrant, asked: str) -> Project:
    """The project of this id, if the key may see it. In the tenant's scope."""
    project_id = uuid_of(asked)
    if project_id != grant.project_id and Scope.PROJECTS_READ not in grant.scopes:
        raise UnknownId()
    found = Project.objects.filter(id=project_id).first()
    if found is None:
        raise UnknownId()
    return found


def uuid_of(asked: str) -> UUID:
    """What is no id is the id of nothing."""
    try:
        return UUID(asked)
    except ValueError:
        raise UnknownId() from None
