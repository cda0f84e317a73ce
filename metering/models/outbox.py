"""What the payment provider is to hear, written down before it is said, and what it says to us."""

from __future__ import annotations

from enum import StrEnum

from django.db import models

METERS = ("ms", "amount")  # milliseconds of audio; millionths of the currency's unit


class IntentState(StrEnum):
    PENDING = "pending"  # not sent, or refused in a way that may pass
    SENDING = "sending"  # claimed, and perhaps sent: nobody knows until it is said again or settled
    DOUBTFUL = "doubtful"  # too old to be said again with the same identifier; to be settled by summaries
    DELIVERED = "delivered"
    DEAD = "dead"  # refused for good: somebody has to look
    DROPPED = "dropped"  # settled: it had arrived, or another intent stands for it


class MeterIntent(models.Model):
    """The ledger entries `[from_seq, to_seq]` of a tenant as one meter event of one meter."""

    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.PROTECT, related_name="+", db_index=False)
    meter = models.CharField(max_length=8, choices=[(meter, meter) for meter in METERS])
    from_seq = models.BigIntegerField()
    to_seq = models.BigIntegerField()
    value = models.BigIntegerField()
    timestamp = models.DateTimeField()  # of all of them, as the provider is told; within one UTC hour
    customer = models.CharField(max_length=255)
    identifier = models.CharField(max_length=100, unique=True)
    state = models.CharField(
        max_length=16, choices=[(s.value, s.value) for s in IntentState], default=IntentState.PENDING.value
    )
    attempts = models.PositiveIntegerField(default=0)
    first_sent_at = models.DateTimeField(null=True, blank=True)
    next_at = models.DateTimeField()
    settled_at = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=300, blank=True)  # the provider's code and what it means
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [
            models.Index(fields=["state", "next_at"], name="intent_due"),
            models.Index(fields=["tenant", "meter", "timestamp"], name="intent_of_tenant"),
        ]

    def __str__(self) -> str:
        return self.identifier


class ProviderObject(models.Model):
    """What of ours is called what at the provider. Ours, not a tenant's."""

    account = models.CharField(max_length=64)  # of the provider: a key of another account sees other objects
    name = models.CharField(max_length=200)  # "meter:ms", "product:audio", "price:amount:USD"
    provider_id = models.CharField(max_length=255)
    starts_at = models.DateTimeField(null=True, blank=True)  # of a subscription: it bills nothing before
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "name"], name="provider_object_once")]

    def __str__(self) -> str:
        return f"{self.name} = {self.provider_id}"


class WebhookEvent(models.Model):
    """Kept before it is answered, handled by a task, once. Ours: whose it is shows when it is read."""

    provider_id = models.CharField(max_length=255, unique=True)
    type = models.CharField(max_length=100)
    created = models.DateTimeField()  # by the provider's clock
    payload = models.JSONField()
    attempts = models.PositiveIntegerField(default=0)
    next_at = models.DateTimeField()
    handled_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=300, blank=True)
    received_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [models.Index(fields=["handled_at", "next_at"], name="webhook_due")]

    def __str__(self) -> str:
        return f"{self.type} {self.provider_id}"
