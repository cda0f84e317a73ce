"""The record of what was processed."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q


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
        ]

    def __str__(self) -> str:
        return self.event_id
