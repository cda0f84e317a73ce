"""Who: tenants, their users, projects and keys. Rows of all but `User` exist only inside a `scope`."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import ClassVar

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import PermissionsMixin
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex, OpClass
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models.functions import Upper

from tenants.access import Hold, Scope, TenantState
from tenants.limits import DEFAULT_PLAN, NAMES
from tenants.permissions import Role
from tenants.residency import INHERIT, Residency
from tenants.users import UserManager


def _choices(*members: str) -> list[tuple[str, str]]:
    return [(str(member), str(member).replace("-", " ").capitalize()) for member in members]


def _search(field: str, table: str) -> GinIndex:
    """What `icontains` on `field` needs to stay quick: Django compares in upper case."""
    return GinIndex(OpClass(Upper(field), name="gin_trgm_ops"), name=f"{table}_{field}_search")


def _limit(help_text: str) -> models.PositiveIntegerField[int | None, int | None]:
    return models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1)], help_text=f"{help_text} Empty: no limit."
    )


class Limited(models.Model):
    """The columns of `tenants.limits.Limits`."""

    streams_at_once = _limit("Streams that may be open at the same time.")
    openings_a_minute = _limit("New streams in any sixty seconds.")
    requests_a_second = _limit("Requests that are no streams, in any second.")
    audio_hours_a_day = models.DecimalField(
        max_digits=9,
        decimal_places=3,
        null=True,
        blank=True,
        validators=[MinValueValidator(Decimal("0.001"))],
        help_text="Hours of processed audio from midnight to midnight UTC. Empty: no limit.",
    )

    class Meta:
        abstract = True
        constraints = [
            models.CheckConstraint(
                condition=models.Q(**{f"{name}__isnull": True}) | models.Q(**{f"{name}__gt": 0}),
                name=f"%(class)s_{name}_positive",
            )
            for name in NAMES
        ]


REGION_NAME = RegexValidator(r"^[a-z][a-z0-9-]{0,31}\Z")


def _home() -> models.CharField[str, str]:
    return models.CharField(
        max_length=32, blank=True, default="", validators=[REGION_NAME], help_text="Gone to first."
    )


def _regions() -> ArrayField[list[str], list[str]]:
    return ArrayField(models.CharField(max_length=32, validators=[REGION_NAME]), default=list, blank=True)


class Plan(Limited):
    """What a tenant may do at most, all its projects together. Ours, not a tenant's: only staff write it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=100)
    slug = models.CharField(max_length=50, unique=True, validators=[RegexValidator(r"^[a-z][a-z0-9-]*$")])
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(Limited.Meta):
        ordering = ["name", "id"]

    def __str__(self) -> str:
        return self.name


class Tenant(models.Model):
    """An organisation: what is isolated from others, limited and billed."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=100)
    slug = models.CharField(
        max_length=50,
        unique=True,
        validators=[RegexValidator(r"^[a-z][a-z0-9-]*$")],
        help_text="In addresses.",
    )
    state = models.CharField(max_length=16, choices=_choices(*TenantState), default=TenantState.ACTIVE.value)
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="tenants", default=DEFAULT_PLAN)
    hold = models.CharField(
        max_length=16, choices=_choices(*Hold), default=Hold.NONE.value, blank=True, editable=False
    )
    # Where its audio may be; see `tenants.residency`.
    residency = models.CharField(
        max_length=16,
        choices=_choices(*Residency),
        default=Residency.ANY.value,
        help_text="Where audio may be.",
    )
    home_region = _home()
    allowed_regions = _regions()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at", "id"]
        indexes = [
            models.Index(fields=["-created_at", "id"], name="tenant_newest"),
            _search("name", "tenant"),
        ]

    def __str__(self) -> str:
        return self.name


class User(AbstractBaseUser, PermissionsMixin):
    """A person who signs in by e-mail. Staff are ours; others see the tenants that they are members of.

    A person may belong to several tenants, so users have no tenant and no row-level security of their own:
    what a tenant may know of them goes through `Member`.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    email = models.EmailField("e-mail", unique=True)
    name = models.CharField(max_length=100, blank=True)
    is_staff = models.BooleanField("staff", default=False, help_text="May sign in to this administration.")
    is_active = models.BooleanField("active", default=True, help_text="May sign in at all.")
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[UserManager] = UserManager()

    EMAIL_FIELD = "email"
    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        ordering = ["email"]
        indexes = [_search("email", "user")]

    def __str__(self) -> str:
        return self.email

    def clean(self) -> None:
        super().clean()
        self.email = self.email.lower()


class Member(models.Model):
    """A user's place in a tenant."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="members")
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="memberships")
    role = models.CharField(max_length=16, choices=_choices(*Role))
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at", "id"]
        constraints = [models.UniqueConstraint(fields=["tenant", "user"], name="member_once")]

    def __str__(self) -> str:
        return f"{self.user} ({self.role})"


class Project(Limited):
    """What keys and streams belong to: an application or an environment of a tenant. Its limits are its own,
    within those of the tenant's plan."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="projects")
    name = models.CharField(max_length=100)
    archived_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(Limited.Meta):
        ordering = ["-created_at", "id"]
        constraints = [
            *Limited.Meta.constraints,
            models.UniqueConstraint(fields=["tenant", "id"], name="project_of_tenant"),
        ]
        indexes = [_search("name", "project")]

    def __str__(self) -> str:
        return self.name


class APIKey(models.Model):
    """A key of a project. Its text is shown once, when issued; kept are what finds it and what proves it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="keys")
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="keys")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=12, unique=True, editable=False)
    sha256 = models.BinaryField(max_length=32, editable=False)
    scopes = ArrayField(models.CharField(max_length=32, choices=_choices(*Scope)))
    allowed_origins = ArrayField(models.CharField(max_length=255), default=list, blank=True)
    tags = ArrayField(models.CharField(max_length=128), default=list, blank=True)  # the customer's own
    # What is narrower than the tenant's; empty: the tenant's.
    residency = models.CharField(
        max_length=16,
        choices=_choices(*Residency),
        default=INHERIT,
        blank=True,
        help_text="Empty: its tenant's.",
    )
    home_region = _home()
    allowed_regions = _regions()
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    # Rotation: both keys work until this one's `expires_at`.
    replaced_by = models.OneToOneField(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="replaces"
    )
    issued_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    last_used_at = models.DateTimeField(null=True, blank=True)  # no index: touched often, kept HOT
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "API key"
        ordering = ["-created_at", "id"]
        constraints = [models.UniqueConstraint(fields=["tenant", "id"], name="apikey_of_tenant")]
        indexes = [
            models.Index(fields=["-created_at", "id"], name="apikey_newest"),
            _search("name", "apikey"),
        ]

    def __str__(self) -> str:
        return f"{self.name} (sk_{self.prefix}…)"


class AuditEntry(models.Model):
    """Who did what. Written by services, in the transaction of what it tells; never changed or deleted."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="audit")
    at = models.DateTimeField(auto_now_add=True)
    # The text stays when the user goes: "ada@example.com", "staff bo@stenogate.local", "system".
    actor = models.CharField(max_length=300)
    action = models.CharField(max_length=50)  # "key.revoked"
    subject = models.UUIDField()
    details = models.JSONField(default=dict)  # never a secret

    class Meta:
        verbose_name_plural = "audit entries"
        ordering = ["-at", "-id"]
        indexes = [
            models.Index(fields=["tenant", "-at", "-id"], name="audit_of_tenant"),
            models.Index(fields=["-at", "-id"], name="audit_newest"),
            models.Index(fields=["subject"], name="audit_of_subject"),
            # Which plan a tenant was on when is asked whenever its usage is charged.
            models.Index(
                fields=["tenant", "at"],
                condition=models.Q(action="tenant.plan_changed"),
                name="audit_plan_changes",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.action} by {self.actor}"
