"""What a plan costs, from when on. Ours, not a tenant's: everybody reads it, only staff write it."""

from __future__ import annotations

import uuid

from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q


class PlanVersion(models.Model):
    """The prices of a plan from `effective_from` until its next version. Never changed: a new price is a new
    version, and what was processed before is never rated again."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    plan = models.ForeignKey("tenants.Plan", on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    effective_from = models.DateTimeField()
    currency = models.CharField(max_length=3, validators=[RegexValidator(r"^[A-Z]{3}$")])
    # A stream of less is charged as if it had been this long. 0: as it was.
    minimum_ms = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["plan", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["plan", "number"], name="plan_version_once"),
            models.UniqueConstraint(fields=["plan", "effective_from"], name="plan_version_at_once"),
            models.CheckConstraint(condition=Q(currency__regex=r"^[A-Z]{3}$"), name="plan_version_currency"),
        ]

    def __str__(self) -> str:
        return f"version {self.number} from {self.effective_from:%Y-%m-%d %H:%M} UTC"


class Price(models.Model):
    """A line of a plan's version: what audio of this model, kind and region costs. Empty: any. The line that
    names most of them counts; see `metering.rating`. Included minutes and tiers are the line's own and begin
    anew with each billing period, so that a total does not depend on the order of its parts."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    version = models.ForeignKey(PlanVersion, on_delete=models.PROTECT, related_name="prices")
    label = models.CharField(max_length=100)
    model = models.CharField(max_length=128, blank=True)
    kind = models.CharField(max_length=8, blank=True)  # "live", "recorded" or any
    region = models.CharField(max_length=128, blank=True)
    included_ms = models.BigIntegerField(default=0)
    # [{"up_to_ms": 6000000, "per_minute": "0.0059"}, …, {"up_to_ms": null, "per_minute": "0.0043"}]
    tiers = models.JSONField()

    class Meta:
        ordering = ["version", "label", "id"]
        constraints = [
            models.UniqueConstraint(fields=["version", "model", "kind", "region"], name="price_once"),
            models.CheckConstraint(condition=Q(included_ms__gte=0), name="price_included"),
        ]

    def __str__(self) -> str:
        return self.label
