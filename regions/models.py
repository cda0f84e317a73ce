"""Where: the regions, what their gateways report, the flags, and the history of what was configured.

All are ours and no tenant's. Gateways read regions and flags, write reports, and see of the history no more
than its number.
"""

from __future__ import annotations

import uuid

from django.core.validators import MinValueValidator
from django.db import models

from regions.routing import State
from tenants.models import REGION_NAME


class Region(models.Model):
    """A pool of gateways, a Valkey and a pool of workers."""

    name = models.CharField(max_length=32, primary_key=True, validators=[REGION_NAME])
    address = models.CharField(
        max_length=100,
        blank=True,
        default="",
        help_text="What clients are sent to: https://eu.stt.example.com. Empty: nobody is sent there.",
    )
    zone = models.CharField(
        max_length=32,
        blank=True,
        default="",
        validators=[REGION_NAME],
        help_text="Of regions that will do, those of the same zone are taken first.",
    )
    state = models.CharField(
        max_length=16, choices=[(s.value, s.value.capitalize()) for s in State], default=State.ACTIVE.value
    )
    capacity = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Streams. Empty: as many as its gateways and workers take.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Gateway(models.Model):
    """A gateway process, as it said itself a moment ago. One row each, written every second."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    region = models.CharField(max_length=32)
    label = models.CharField(max_length=100)  # host and process
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField()  # by the database's clock, as is all that it is compared with
    streams = models.PositiveIntegerField()
    room = models.PositiveIntegerField()  # streams that this process would take
    workers_room = (
        models.PositiveIntegerField()
    )  # and those that the workers of the region would, all of them
    draining = models.BooleanField()
    version = models.BigIntegerField()  # of the configuration that it goes by

    class Meta:
        ordering = ["region", "label"]

    def __str__(self) -> str:
        return self.label


class Flag(models.Model):
    """One setting of a flag: for all, for a region or for a tenant."""

    name = models.CharField(max_length=32)
    region = models.CharField(max_length=32, blank=True, default="")
    tenant = models.UUIDField(null=True, blank=True)
    value = models.BooleanField()

    class Meta:
        ordering = ["name", "region", "tenant"]
        constraints = [
            models.UniqueConstraint(
                fields=["name", "region", "tenant"], nulls_distinct=False, name="flag_once"
            ),
            models.CheckConstraint(
                condition=models.Q(region="") | models.Q(tenant=None), name="flag_for_one_kind"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.region or self.tenant or 'for all'}"


class Change(models.Model):
    """One change of what gateways go by, numbered in the order in which they happened. Never changed."""

    version = models.BigIntegerField(primary_key=True)
    at = models.DateTimeField()
    who = models.CharField(max_length=300)
    what = models.CharField(max_length=50)  # "region.state", "flag.set", "plan.changed"
    subject = models.CharField(max_length=100)
    tenant = models.UUIDField(null=True)
    details = models.JSONField(default=dict)

    class Meta:
        ordering = ["-version"]

    def __str__(self) -> str:
        return f"{self.version}: {self.what} {self.subject}"
