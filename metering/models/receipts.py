"""Signed receipts, one chain for each tenant, and the keys to check them with."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


class Receipt(models.Model):
    """`body` is the very text that was signed. A stream whose bill is corrected later gets another receipt,
    which says which one it takes the place of."""

    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.PROTECT, related_name="+", db_index=False)
    number = models.BigIntegerField()  # 1, 2, 3, … of the tenant
    request_id = models.CharField(max_length=128)
    revision = models.PositiveIntegerField(default=1)
    body = models.TextField()
    key = models.CharField(max_length=64)  # SigningKey.name
    signature = models.BinaryField(max_length=64)
    hash = models.BinaryField(max_length=32)  # of body; the next receipt has it in its own
    issued_at = models.DateTimeField()

    class Meta:
        ordering = ["tenant", "number"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "number"], name="receipt_number_once"),
            models.UniqueConstraint(
                fields=["tenant", "request_id", "revision"], name="receipt_revision_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.request_id} r{self.revision}"


class SigningKey(models.Model):
    """The public half; the private one is in the environment. Ours. Kept for ever: old receipts stay good."""

    name = models.CharField(max_length=64, primary_key=True)
    public = models.BinaryField(max_length=32)
    first_seen_at = models.DateTimeField(auto_now_add=True)
    retired_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=~Q(name=""), name="signing_key_named")]

    def __str__(self) -> str:
        return self.name
