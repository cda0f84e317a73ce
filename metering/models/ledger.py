"""The ledger: what is owed and why, one row after the other, each with the hash of the one before it."""

from __future__ import annotations

from enum import StrEnum

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from metering.models.accounts import MONEY


class EntryKind(StrEnum):
    USAGE = "usage"  # processed audio: ms > 0
    CORRECTION = "correction"  # audio that was counted and should not have been: ms < 0
    CREDIT = "credit"  # money to the customer: prepaid, goodwill; amount < 0
    ADJUSTMENT = "adjustment"  # money either way without audio: a minimum charge, staff's decision


class LedgerEntry(models.Model):
    """Append-only: triggers refuse the rest. `amount` is what it costs the customer (minus: is given), in
    `currency`; `waived` what it would have cost more, had a cap not been reached."""

    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.PROTECT, related_name="+", db_index=False)
    seq = models.BigIntegerField()  # 1, 2, 3, … of the tenant
    kind = models.CharField(max_length=16, choices=[(kind.value, kind.value) for kind in EntryKind])
    at = models.DateTimeField()
    period = models.DateField()  # the first day of the billing period it is charged in
    processed_at = models.DateTimeField()  # of audio, when it was processed; else as `at`

    # Of audio; empty of mere money.
    project_id = models.UUIDField(null=True, blank=True)
    key_id = models.UUIDField(null=True, blank=True)
    stream = models.CharField(max_length=128, blank=True)
    request_id = models.CharField(max_length=128, blank=True)  # the stream without its channel
    from_ms = models.BigIntegerField(null=True, blank=True)
    to_ms = models.BigIntegerField(null=True, blank=True)
    ms = models.BigIntegerField(default=0)
    usage_kind = models.CharField(max_length=8, blank=True)
    model = models.CharField(max_length=128, blank=True)
    region = models.CharField(max_length=128, blank=True)
    tags = ArrayField(models.CharField(max_length=128), default=list, blank=True)

    price = models.ForeignKey(
        "metering.Price", on_delete=models.PROTECT, null=True, blank=True, related_name="+", db_index=False
    )
    currency = models.CharField(max_length=3)
    # Of audio, the period whose counter it stands in and moves: `period`, but for a correction of audio whose
    # period is closed. That gives back by the old period's prices and tiers, in the period of today.
    rated_in = models.DateField(null=True, blank=True)
    amount = models.DecimalField(**MONEY)
    waived = models.DecimalField(**MONEY, default=0)

    reason = models.CharField(max_length=300, blank=True)
    # What made it, once: "reconcile:2026-11-20:…", "stripe:pi_…". A second of the same is refused.
    reference = models.CharField(max_length=200, blank=True)
    previous_hash = models.BinaryField(max_length=32)
    hash = models.BinaryField(max_length=32)

    class Meta:
        verbose_name_plural = "ledger entries"
        ordering = ["tenant", "seq"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "seq"], name="ledger_seq_once"),
            models.UniqueConstraint(
                fields=["tenant", "reference"], condition=~Q(reference=""), name="ledger_reference_once"
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "processed_at"], name="ledger_processed"),
            models.Index(fields=["tenant", "project_id", "processed_at"], name="ledger_of_project"),
            models.Index(fields=["tenant", "period", "seq"], name="ledger_period"),
            models.Index(fields=["tenant", "request_id"], name="ledger_request"),
        ]

    def __str__(self) -> str:
        return f"{self.tenant_id} {self.seq}"


class Counter(models.Model):
    """How much of a price line a tenant has used in a billing period: where in its tiers the next
    millisecond stands. Derived from the ledger, kept under the account's lock, checked by `ledger verify`.

    `ms` and `waived` are sums of the entries rated in this period; `charged` of those in this period that are
    no credit. What has no price counts under the price id of nothing but zeros."""

    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.PROTECT, related_name="+", db_index=False)
    period = models.DateField()
    price_id = models.UUIDField()
    ms = models.BigIntegerField(default=0)
    charged = models.DecimalField(**MONEY, default=0)
    waived = models.DecimalField(**MONEY, default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "period", "price_id"], name="counter_once")]

    def __str__(self) -> str:
        return f"{self.tenant_id} {self.period} {self.price_id}"
