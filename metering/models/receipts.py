"""Signed receipts, one chain for each tenant, and the keys to check them with."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


class Receipt(models.Model):
    """`body` is the very text that was signed. A stream whose bill is corrected later gets another receipt,
    which says which one it takes the place of."""

    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.PROTECT, related_name="+", db_index=False)
    number = models.BigIntegerField()  # 1, 2, 3, … of the tenant
    project_id = models.UUIDField()  # as in the body; no foreign key: receipts outlive projects
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
        indexes = [
            models.Index(fields=["tenant", "-issued_at", "-id"], name="receipt_newest"),
            models.Index(fields=["tenant", "project_id", "-issued_at", "-id"], name="receipt_of_project"),
        ]

    def __str__(self) -> str:
        return f"{self.request_id} r{self.revision}"


class ReceiptHead(models.Model):
    """The last receipt of a tenant, and its lock: whoever issues one holds it, so the chain is one, and a
    receipt that is cut off at its end is missed. Not the account's: a stream's end waits for no posting."""

    tenant = models.OneToOneField(
        "tenants.Tenant", on_delete=models.PROTECT, related_name="+", primary_key=True
    )
    number = models.BigIntegerField(default=0)
    hash = models.BinaryField(max_length=32, default=bytes(32))
    ledger_seq = models.BigIntegerField(default=0)  # as far as the ledger has been looked through for streams

    def __str__(self) -> str:
        return f"{self.tenant_id} {self.number}"


class ReceiptDue(models.Model):
    """A stream whose receipt is to be looked at: it has ended, or the ledger says something new of it."""

    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.PROTECT, related_name="+", db_index=False)
    request_id = models.CharField(max_length=128)
    due_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "request_id"], name="receipt_due_once")]
        indexes = [models.Index(fields=["due_at"], name="receipt_due")]

    def __str__(self) -> str:
        return self.request_id


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
