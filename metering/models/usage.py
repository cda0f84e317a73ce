"""What was processed, recorded twice by two ways, and the log of what was asked."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from metering.events import KINDS, LIVE, SOURCES

_KINDS = [(kind, kind.capitalize()) for kind in KINDS]


class UsageEvent(models.Model):
    """Processed audio `[from_ms, to_ms)` of a stream. Written once; the constraints are the truth: an event
    comes once, and no two ranges of a stream overlap (the exclusion constraint is in the migration)."""

    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.PROTECT, related_name="+", db_index=False)
    # No foreign keys: usage outlives the project and the key it was made with.
    project_id = models.UUIDField()
    key_id = models.UUIDField()
    event_id = models.CharField(max_length=160)
    stream = models.CharField(max_length=128)
    from_ms = models.BigIntegerField()
    to_ms = models.BigIntegerField()
    kind = models.CharField(max_length=8, choices=_KINDS, default=LIVE)
    model = models.CharField(max_length=128)
    region = models.CharField(max_length=128)
    worker = models.CharField(max_length=128)
    tags = ArrayField(models.CharField(max_length=128), default=list, blank=True)
    # When the audio was processed, by the clock of whoever says so: it decides the day and the price.
    processed_at = models.DateTimeField(default=timezone.now)
    source = models.CharField(max_length=16, choices=[(name, name) for name in SOURCES], default=SOURCES[0])
    recorded_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "event_id"], name="usage_event_once"),
            models.CheckConstraint(
                condition=Q(from_ms__gte=0, to_ms__gt=F("from_ms")), name="usage_event_range"
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "processed_at"], name="usage_event_processed"),
        ]

    def __str__(self) -> str:
        return self.event_id


class Unposted(models.Model):
    """A usage event that the ledger does not have yet. Made in the transaction of the event, gone in the
    transaction of its ledger entry."""

    event_id = models.BigIntegerField(primary_key=True)  # of UsageEvent.id
    # The event beside it has the foreign key; a second look for each event would only cost.
    tenant = models.ForeignKey(
        "tenants.Tenant", on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )

    class Meta:
        indexes = [models.Index(fields=["tenant", "event_id"], name="unposted_of_tenant")]

    def __str__(self) -> str:
        return str(self.event_id)


class Unsettled(models.Model):
    """A stream that has ended and whose minimum charge nobody has looked at yet. Made in the transaction of
    its entry in the request log, gone in that of the look."""

    request = models.BigIntegerField(primary_key=True)  # of Request.id
    tenant = models.ForeignKey(
        "tenants.Tenant", on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    next_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [models.Index(fields=["tenant", "next_at"], name="unsettled_of_tenant")]

    def __str__(self) -> str:
        return str(self.request)


class InferenceRecord(models.Model):
    """What a worker wrote in its own log, shipped past Valkey and Celery: audio `[from_ms, to_ms)` of a
    stream went through its engine. With `settled`, the stream has left that worker, and nothing of it past
    `to_ms` counts, whatever other records of this epoch say: nobody was told of it."""

    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.PROTECT, related_name="+", db_index=False)
    project_id = models.UUIDField()
    key_id = models.UUIDField()
    stream = models.CharField(max_length=128)
    epoch = models.PositiveIntegerField()
    from_ms = models.BigIntegerField()
    to_ms = models.BigIntegerField()
    settled = models.BooleanField(default=False)
    kind = models.CharField(max_length=8, choices=_KINDS)
    model = models.CharField(max_length=128)
    region = models.CharField(max_length=128)
    worker = models.CharField(max_length=128)
    tags = ArrayField(models.CharField(max_length=128), default=list, blank=True)
    processed_at = models.DateTimeField()
    log = models.UUIDField()  # the file it was written to; see InferenceLog
    seq = models.BigIntegerField()  # its place there
    recorded_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["log", "seq"], name="inference_record_once"),
            models.CheckConstraint(
                condition=Q(from_ms__gte=0, to_ms__gte=F("from_ms")), name="inference_record_range"
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "stream"], name="inference_record_stream"),
            models.Index(fields=["tenant", "processed_at"], name="inference_record_processed"),
        ]

    def __str__(self) -> str:
        return f"{self.log}:{self.seq}"


class InferenceLog(models.Model):
    """One file of a worker: how much of it is here. Ours, not a tenant's."""

    log = models.UUIDField(primary_key=True)
    worker = models.CharField(max_length=128)
    region = models.CharField(max_length=128)
    shipped = models.BigIntegerField(default=0)  # the last seq that is here
    complete_until = models.DateTimeField()  # all that was processed before is here
    closed = models.BooleanField(default=False)  # nothing more will come of it
    seen_at = models.DateTimeField()

    class Meta:
        ordering = ["worker", "-seen_at"]

    def __str__(self) -> str:
        return f"{self.worker} {self.log}"


class Request(models.Model):
    """A stream that was accepted, live or recorded, and how it ended. Written once, when it has ended."""

    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.PROTECT, related_name="+")
    # No foreign keys: the log outlives the project and the key.
    project_id = models.UUIDField()
    key_id = models.UUIDField()
    request_id = models.CharField(max_length=128)
    kind = models.CharField(max_length=8, choices=_KINDS)
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
