"""The projects of the key's tenant, and their balances."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from django.http import HttpRequest
from ninja import Query, Router, Schema
from pydantic import Field

from gateway import callbacks
from gateway.errors import OtherProject, UnknownId
from gateway.rest import pages
from gateway.rest.access import for_tenant, grant_of, project_of
from gateway.rest.operations import operation
from metering.ledger.accounts import account_of
from metering.models.accounts import Mode
from tenants.access import KeyGrant, Scope
from tenants.models import Project as Row

router = Router(tags=["projects"])

Limit = Annotated[int, Query(ge=1, le=pages.MOST, description="The most projects to answer with.")]
After = Annotated[str | None, Query(description=pages.CURSOR_MEANS)]


class ListedProject(Schema):
    project_id: str
    name: str = Field(examples=["Calls"])
    created: datetime


class Project(ListedProject):
    mip_opt_out: bool = Field(description="Always true: no audio is kept or learnt from.")
    archived: bool = Field(description="Its keys have stopped working, and its usage stays.")


class Projects(Schema):
    projects: list[ListedProject]
    next_cursor: str | None = Field(description=pages.NEXT_CURSOR_MEANS)


class CallbackSecret(Schema):
    secret: str = Field(
        description="To check the header `webhook-signature` with.",
        examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
    )


class Balance(Schema):
    balance_id: str
    amount: float
    units: str = Field(examples=["usd"])
    purchase_order_id: str


class Balances(Schema):
    balances: list[Balance]


@router.get("/projects", **operation(Scope.PROJECTS_READ, Projects), summary="List the projects")
async def list_projects(request: HttpRequest, limit: Limit = pages.USUAL, cursor: After = None) -> Projects:
    """Of the tenant that the key belongs to, newest first, without those that are archived."""

    def read() -> Projects:
        rows, following = pages.page(
            Row.objects.filter(archived_at=None),
            of="projects", at="created_at", limit=limit, after=cursor, convert=UUID,
        )  # fmt: skip
        listed = [
            ListedProject(project_id=str(row.id), name=row.name, created=row.created_at) for row in rows
        ]
        return Projects(projects=listed, next_cursor=following)

    return await for_tenant(grant_of(request), read)


@router.get(
    "/projects/{project_id}",
    **operation(Scope.PROJECTS_READ, Project, refused=(404,)),
    summary="Get a project",
)
async def get_project(request: HttpRequest, project_id: str) -> Project:
    """One of the tenant that the key belongs to."""
    grant = grant_of(request)
    row = await for_tenant(grant, project_of, grant, project_id)
    return Project(
        project_id=str(row.id),
        name=row.name,
        created=row.created_at,
        mip_opt_out=True,
        archived=row.archived_at is not None,
    )


@router.get(
    "/projects/{project_id}/callback_secret",
    **operation(Scope.KEYS_WRITE, CallbackSecret, refused=(404,)),
    summary="Get the secret of callbacks",
)
async def get_callback_secret(request: HttpRequest, project_id: str) -> CallbackSecret:
    """What the callbacks of the key's own project are signed with. It stays the same."""
    grant = grant_of(request)
    row = await for_tenant(grant, project_of, grant, project_id)
    if row.id != grant.project_id:
        # Whoever has it can sign in our name.
        raise OtherProject()
    return CallbackSecret(secret=callbacks.secret_of(row.id))


@router.get(
    "/projects/{project_id}/balances",
    **operation(Scope.USAGE_READ, Balances, refused=(404,)),
    summary="List the balances",
)
async def list_balances(request: HttpRequest, project_id: str) -> Balances:
    """What the tenant has paid in advance: one, if it does so and the key has `billing:read`; else none.

    The exact amount, and what else there is to know, is at `/v1/billing/balance`.
    """
    grant = grant_of(request)
    return Balances(balances=await for_tenant(grant, _balances, grant, project_id))


@router.get(
    "/projects/{project_id}/balances/{balance_id}",
    **operation(Scope.USAGE_READ, Balance, refused=(404,)),
    summary="Get a balance",
)
async def get_balance(request: HttpRequest, project_id: str, balance_id: str) -> Balance:
    """The one in the list of balances."""
    grant = grant_of(request)
    for found in await for_tenant(grant, _balances, grant, project_id):
        if found.balance_id == balance_id:
            return found
    raise UnknownId()


def _balances(grant: KeyGrant, project_id: str) -> list[Balance]:
    project_of(grant, project_id)
    account = account_of(grant.tenant_id)
    if account.mode != Mode.PREPAID or Scope.BILLING_READ not in grant.scopes:
        return []
    # Deepgram's clients read a number with a fraction; nothing is reckoned with it.
    return [
        Balance(
            balance_id=str(account.id),
            amount=float(account.balance),
            units=account.currency.lower(),
            purchase_order_id="",
        )
    ]
