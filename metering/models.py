"""The record of what was processed, and the log of what was asked."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from metering.events import KINDS, LIVE


class UsageEvent(models.Model):
    """Processed audio `[from_ms, to_ms)` of a stream. Written once; the unique constraint is the truth."""

    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.PROTECT, related_name="+")
    # No foreign keys: usage outlives the project and the key it was made with.
    project_id = models.UUIDField()
    key_id = models.UUIDField()
    event_id = models.CharField(max_length=160)
    stream = models.CharField(max_length=128)
    from_ms = models.BigIntegerField()
    to_ms = models.BigIntegerField()
    kind = models.CharField(max_length=8, choices=[(kind, kind.capitalize()) for kind in KINDS], default=LIVE)
    model = models.CharField(max_length=128)
    region = models.CharField(max_length=128)
    worker = models.CharField(max_length=128)
    tags = ArrayField(models.CharField(max_length=128), default=list, blank=True)
    recorded_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "event_id"], name="usage_event_once"),
            models.CheckConstraint(
                condition=Q(from_ms__gte=0, to_ms__gt=F("from_ms")), name="usage_event_range"
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "stream", "from_ms"], name="usage_event_stream"),
            models.Index(fields=["tenant", "recorded_at"], name="usage_event_recorded"),
            # What a project used is added up from the index alone.
            models.Index(
                fields=["tenant", "project_id", "recorded_at"],
                include=["from_ms", "to_ms", "stream"],
                name="usage_event_of_project",
            ),
        ]

    def __str__(self) -> str:
        return self.event_id


class Request(models.Model):
    """A stream that was accepted, live or recorded, and how it ended. Written once, when it has ended."""

    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.PROTECT, related_name="+")
    # No foreign keys: the log outlives the project and the key.
    project_id = models.UUIDField()
    key_id = models.UUIDField()
    request_id = models.CharField(max_length=128)
    kind = models.CharField(max_length=8, choices=[(kind, kind.capitalize()) for kind in KINDS])
    path = models.CharField(max_length=128)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField()
    outcome = models.CharField(max_length=128)  # "done", "client_left", or the code of an error
    status = models.PositiveSmallIntegerField()
    audio_ms = models.BigIntegerField()
    billed_ms = models.BigIntegerField()
    channels = models.PositiveSmallIntegerField()
    model = models.CharField(max_length=128)
    version = models.CharField(max_length=128, blank=True)
    language = models.CharField(max_length=128, blank=True)
    region = models.CharField(max_length=128)
    worker = models.CharField(max_length=128)
    tags = ArrayField(models.CharField(max_length=128), default=list, blank=True)
    recorded_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-started_at", "-id"]
        constraints = [models.UniqueConstraint(fields=["tenant", "request_id"], name="request_once")]
        indexes = [
            models.Index(fields=["tenant", "project_id", "-started_at", "-id"], name="request_of_project"),
            models.Index(fields=["-started_at", "-id"], name="request_newest"),
        ]

    def __str__(self) -> str:
        return self.request_id
