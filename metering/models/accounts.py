"""What a tenant has agreed to pay with and how far; and the head of its ledger, which is its lock."""

from __future__ import annotations

import uuid
from enum import StrEnum
from typing import Any

from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q

# Of a currency's unit; an invoice rounds once, at its end.
MONEY: dict[str, Any] = {"max_digits": 20, "decimal_places": 6}


class Mode(StrEnum):
    INVOICE = "invoice"  # pays afterwards
    PREPAID = "prepaid"  # pays before


class Standing(StrEnum):
    GOOD = "good"
    GRACE = "grace"  # a payment has failed; it goes on until `grace_until`
    SUSPENDED = "suspended"  # nothing is let in until it has paid


class Account(models.Model):
    """One for each tenant, made when it is first needed. Whoever writes to a tenant's ledger holds this row's
    lock: that makes the chain one, and caps exact."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.OneToOneField("tenants.Tenant", on_delete=models.PROTECT, related_name="account")
    mode = models.CharField(
        max_length=8, choices=[(m.value, m.value) for m in Mode], default=Mode.INVOICE.value
    )
    currency = models.CharField(max_length=3, default="USD", validators=[RegexValidator(r"^[A-Z]{3}$")])
    time_zone = models.CharField(max_length=64, default="UTC")  # whose months are its billing periods

    # Money of one billing period; None: no cap.
    hard_cap = models.DecimalField(**MONEY, null=True, blank=True)
    soft_cap = models.DecimalField(**MONEY, null=True, blank=True)
    soft_cap_told = models.DateField(null=True, blank=True)  # of this period the customer has been told

    standing = models.CharField(
        max_length=16, choices=[(s.value, s.value) for s in Standing], default=Standing.GOOD.value
    )
    grace_until = models.DateTimeField(null=True, blank=True)
    # While somebody investigates: nothing that reconciliation finds is charged, what it finds too much is
    # credited, and nothing is sent to the payment provider.
    conservative = models.BooleanField(default=False)

    # What an invoice says of the customer.
    legal_name = models.CharField(max_length=200, blank=True)
    address = models.TextField(blank=True, max_length=1000)
    tax_id = models.CharField(max_length=64, blank=True)
    email = models.EmailField(blank=True)

    customer = models.CharField(max_length=255, blank=True)  # at the payment provider

    # The head of the ledger.
    last_seq = models.BigIntegerField(default=0)
    last_hash = models.BinaryField(max_length=32, default=bytes(32))
    balance = models.DecimalField(**MONEY, default=0)  # credits less charges of all time, minus: owed
    period = models.DateField(null=True, blank=True)  # the first day of the period that `charged` is of
    charged = models.DecimalField(**MONEY, default=0)  # in that period
    outbox_seq = models.BigIntegerField(default=0)  # as far as intents for the payment provider were made

    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(hard_cap__isnull=True) | Q(hard_cap__gte=0), name="account_hard_cap"
            ),
            models.CheckConstraint(
                condition=Q(soft_cap__isnull=True) | Q(soft_cap__gte=0), name="account_soft_cap"
            ),
            models.CheckConstraint(condition=Q(currency__regex=r"^[A-Z]{3}$"), name="account_currency"),
        ]

    def __str__(self) -> str:
        tenant = self._state.fields_cache.get("tenant")  # no query for a name
        return f"account of {tenant.name if tenant else self.tenant_id}"
