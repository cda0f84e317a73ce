"""What was compared, what differed, and what was done about it."""

from __future__ import annotations

from enum import StrEnum

from django.db import models


class DifferenceKind(StrEnum):
    LOST = "lost"  # in the inference log, not in the ledger: replayed
    DOUBLE = "double"  # in the ledger, not in the inference log: credited
    WRONG_TENANT = "wrong_tenant"  # one says this tenant, the other says that one: raised
    UNSENT = "unsent"  # the provider has less than the ledger: the difference is sent, once
    AHEAD = "ahead"  # the provider has more than the ledger: raised, never corrected by itself
    INVOICE = "invoice"  # an invoice does not say what the ledger says: raised


class Action(StrEnum):
    NONE = "none"  # a dry run, or conservative mode
    REPLAYED = "replayed"
    CREDITED = "credited"
    SENT = "sent"
    RAISED = "raised"
    WAITING = "waiting"  # the worker's log is not all here yet


class Reconciliation(models.Model):
    """One run. Ours: it goes over all tenants, or one."""

    day = models.DateField()
    only = models.UUIDField(null=True, blank=True)  # one tenant
    dry_run = models.BooleanField(default=False)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    tenants = models.PositiveIntegerField(default=0)
    summary = models.JSONField(default=dict)

    class Meta:
        ordering = ["-started_at"]

    def __str__(self) -> str:
        return f"{self.day} at {self.started_at:%Y-%m-%d %H:%M}"


class Difference(models.Model):
    """A difference as it was found. `open` until a run finds that it is gone, or somebody closes it."""

    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.PROTECT, related_name="+", db_index=False)
    run = models.ForeignKey(Reconciliation, on_delete=models.PROTECT, related_name="differences")
    day = models.DateField()
    kind = models.CharField(max_length=16, choices=[(k.value, k.value) for k in DifferenceKind])
    action = models.CharField(max_length=16, choices=[(a.value, a.value) for a in Action])
    stream = models.CharField(max_length=128, blank=True)
    from_ms = models.BigIntegerField(null=True, blank=True)
    to_ms = models.BigIntegerField(null=True, blank=True)
    ms = models.BigIntegerField(default=0)
    meter = models.CharField(max_length=8, blank=True)
    value = models.BigIntegerField(default=0)  # of the meter
    detail = models.CharField(max_length=300, blank=True)
    open = models.BooleanField(default=True)
    found_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-found_at", "-id"]
        indexes = [
            models.Index(fields=["tenant", "day"], name="difference_of_day"),
            models.Index(fields=["open", "kind"], name="difference_open"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.day} {self.stream or self.meter}"
