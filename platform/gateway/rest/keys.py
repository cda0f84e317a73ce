"""The API keys of a project: seen, issued and revoked by a key of it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router, Schema
from pydantic import Field, field_validator, model_validator

from gateway.body_errors import BadBody
from gateway.errors import OtherProject, UnknownId
from gateway.rest import pages
from gateway.rest.access import for_tenant, grant_of, project_of, uuid_of
from gateway.rest.operations import operation
from tenants import services
from tenants.access import KeyGrant, Scope
from tenants.models import APIKey, Member

router = Router(tags=["keys"])

MAX_TAGS, MAX_TAG_LENGTH = 16, 128
MAX_LIFE_S = 10 * 366 * 24 * 3600
# What Deepgram's clients ask for, in our words.
ELSEWHERE: dict[str, tuple[Scope, ...]] = {
    "usage:write": (Scope.LISTEN,),
    "project:read": (Scope.PROJECTS_READ,),
    "member": (Scope.LISTEN, Scope.PROJECTS_READ, Scope.USAGE_READ),
    "admin": tuple(Scope),
    "owner": tuple(Scope),
}

Limit = Annotated[int, Query(ge=1, le=pages.MOST, description="The most keys to answer with.")]
After = Annotated[str | None, Query(description=pages.CURSOR_MEANS)]
Status = Annotated[
    Literal["active", "expired"] | None, Query(description="Only those that work, or that have expired.")
]


class KeyRequest(Schema):
    comment: str | None = Field(
        None, max_length=100, description="What the key is for: its name.", examples=["Server in Frankfurt"]
    )
    name: str | None = Field(None, max_length=100, description="The same as `comment`.")
    scopes: list[Annotated[str, Field(max_length=32)]] = Field(
        [Scope.LISTEN.value],
        min_length=1,
        max_length=32,
        description=f"Some of {', '.join(f'`{scope}`' for scope in Scope)}, as far as the asking key has "
        "them. Deepgram's `member`, `admin`, `owner`, `usage:write` and `project:read` mean what is nearest.",
        examples=[["listen"]],
    )
    expiration_date: datetime | None = Field(None, description="When the key stops working.")
    time_to_live_in_seconds: int | None = Field(
        None, ge=1, le=MAX_LIFE_S, description="The same, from now on. Give one of the two, or neither."
    )
    tags: list[Annotated[str, Field(max_length=MAX_TAG_LENGTH)]] = Field(
        [], max_length=MAX_TAGS, description="Your own words for the key."
    )

    @field_validator("expiration_date")
    @classmethod
    def _in_utc(cls, value: datetime | None) -> datetime | None:
        try:
            return value and (value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC))
        except OverflowError:
            raise ValueError("this is no time that a key could expire at") from None

    @field_validator("tags")
    @classmethod
    def _printable(cls, value: list[str]) -> list[str]:
        if not all(tag and tag.isprintable() for tag in value):
            raise ValueError("a tag is made of printable characters")
        return value

    @model_validator(mode="after")
    def _one_expiry(self) -> KeyRequest:
        if self.expiration_date is not None and self.time_to_live_in_seconds is not None:
            raise ValueError("give expiration_date or time_to_live_in_seconds, not both")
        return self


class Key(Schema):
    api_key_id: str
    comment: str = Field(description="Its name.")
    scopes: list[str]
    tags: list[str]
    created: datetime
    expiration_date: datetime | None
    prefix: str = Field(description="How the key's text begins, to recognise it by.", examples=["sk_3fQ9…"])
    last_used: datetime | None = Field(description="Within half a minute.")


class Person(Schema):
    member_id: str
    email: str


class ListedKey(Schema):
    member: Person | None = Field(description="Who issued it, if that is a member of the tenant.")
    api_key: Key


class Keys(Schema):
    api_keys: list[ListedKey]
    next_cursor: str | None = Field(description=pages.NEXT_CURSOR_MEANS)


class KeyWithin(Schema):
    member_id: str | None
    email: str | None
    first_name: str | None
    last_name: str | None
    api_key: Key


class KeyItem(Schema):
    member: KeyWithin


class OneKey(ListedKey):
    item: KeyItem = Field(description="The same again, where some of Deepgram's clients look for it.")


class IssuedKey(Schema):
    api_key_id: str
    key: str = Field(description="The key itself. It is shown this once and kept nowhere.")
    comment: str
    scopes: list[str]
    tags: list[str]
    expiration_date: datetime | None


class Said(Schema):
    message: str


@router.get(
    "/projects/{project_id}/keys",
    **operation(Scope.KEYS_READ, Keys, refused=(404,)),
    summary="List the keys of a project",
)
async def list_keys(
    request: HttpRequest,
    project_id: str,
    status: Status = None,
    limit: Limit = pages.USUAL,
    cursor: After = None,
) -> Keys:
    """Newest first, without those that were revoked. A key's text is in none of them."""
    grant = grant_of(request)

    def read() -> Keys:
        rows = _rows(grant, project_id)
        over = Q(expires_at__lte=timezone.now())
        if status is not None:
            rows = rows.filter(over) if status == "expired" else rows.exclude(over)
        found, following = pages.page(
            rows, of="keys", at="created_at", limit=limit, after=cursor, convert=UUID
        )
        people = _issuers(found)
        listed = [ListedKey(member=people.get(row.issued_by_id), api_key=_described(row)) for row in found]
        return Keys(api_keys=listed, next_cursor=following)

    return await for_tenant(grant, read)


@router.post(
    "/projects/{project_id}/keys",
    **operation(Scope.KEYS_WRITE, IssuedKey, refused=(404, 409)),
    summary="Issue a key",
)
async def create_key(request: HttpRequest, project_id: str, body: KeyRequest) -> IssuedKey:
    """A new key of the asking key's own project.

    It has no scope that the asking key lacks, works from the same web origins, and expires no later.
    """
    grant = grant_of(request)
    name = body.comment or body.name
    if name is None:
        raise BadBody("comment: say what the key is for, in 1 to 100 characters.")
    life = body.time_to_live_in_seconds
    expires_at = body.expiration_date if life is None else timezone.now() + timedelta(seconds=life)
    scopes = [ours for scope in body.scopes for ours in ELSEWHERE.get(scope, (scope,))]

    def issue() -> IssuedKey:
        project = project_of(grant, project_id)
        _own(grant, project.id)
        key, text = services.issue_key(
            project, name=name, scopes=scopes, expires_at=expires_at, tags=body.tags, actor=grant
        )
        return IssuedKey(
            api_key_id=str(key.id),
            key=text,
            comment=key.name,
            scopes=key.scopes,
            tags=key.tags,
            expiration_date=key.expires_at,
        )

    return await for_tenant(grant, issue)


@router.get(
    "/projects/{project_id}/keys/{key_id}",
    **operation(Scope.KEYS_READ, OneKey, refused=(404,)),
    summary="Get a key",
)
async def get_key(request: HttpRequest, project_id: str, key_id: str) -> OneKey:
    """All that is known of it but its text."""
    grant = grant_of(request)

    def read() -> OneKey:
        row = _row(grant, project_id, key_id)
        described, person = _described(row), _issuers([row]).get(row.issued_by_id)
        within = KeyWithin(
            member_id=person.member_id if person else None,
            email=person.email if person else None,
            first_name=None,
            last_name=None,
            api_key=described,
        )
        return OneKey(member=person, api_key=described, item=KeyItem(member=within))

    return await for_tenant(grant, read)


@router.delete(
    "/projects/{project_id}/keys/{key_id}",
    **operation(Scope.KEYS_WRITE, Said, refused=(404,)),
    summary="Revoke a key",
)
async def delete_key(request: HttpRequest, project_id: str, key_id: str) -> Said:
    """It stops working everywhere within a second, and its streams end. For good."""
    grant = grant_of(request)

    def revoke() -> Said:
        row = _row(grant, project_id, key_id)
        _own(grant, row.project_id)
        services.revoke_key(row, actor=grant)
        return Said(message="The key is revoked.")

    return await for_tenant(grant, revoke)


def _rows(grant: KeyGrant, project_id: str) -> QuerySet[APIKey]:
    return APIKey.objects.filter(project_id=project_of(grant, project_id).id, revoked_at=None)


def _row(grant: KeyGrant, project_id: str, key_id: str) -> APIKey:
    row = _rows(grant, project_id).filter(id=uuid_of(key_id)).first()
    if row is None:
        raise UnknownId()
    return row


def _own(grant: KeyGrant, project_id: UUID) -> None:
    if project_id != grant.project_id:
        raise OtherProject()


def _issuers(rows: Iterable[APIKey]) -> dict[UUID | None, Person]:
    """Members of the tenant only: our own staff's addresses are nobody's business."""
    users = {row.issued_by_id for row in rows if row.issued_by_id is not None}
    members = Member.objects.filter(user_id__in=users).select_related("user") if users else ()
    return {m.user_id: Person(member_id=str(m.id), email=m.user.email) for m in members}


def _described(row: APIKey) -> Key:
    return Key(
        api_key_id=str(row.id),
        comment=row.name,
        scopes=row.scopes,
        tags=row.tags,
        created=row.created_at,
        expiration_date=row.expires_at,
        prefix=f"sk_{row.prefix}…",
        last_used=row.last_used_at,
    )
