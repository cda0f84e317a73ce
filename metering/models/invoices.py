"""Invoices and credit notes. A draft is made anew each time it is looked at; what is final never changes."""

from __future__ import annotations

import uuid
from enum import StrEnum

from django.db import models
from django.db.models import Q

from metering.models.accounts import MONEY


class InvoiceKind(StrEnum):
    INVOICE = "invoice"
    CREDIT_NOTE = "credit_note"


class Invoice(models.Model):
    """Final. `document` is all that it says: HTML, PDF, CSV and JSON are made of it and of nothing else."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=16, choices=[(k.value, k.value) for k in InvoiceKind])
    number = models.CharField(max_length=32, unique=True)  # without gaps in its series
    period = models.DateField()
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    currency = models.CharField(max_length=3)
    ms = models.BigIntegerField()
    total = models.DecimalField(**MONEY)  # rounded to the currency's smallest coin
    first_seq = models.BigIntegerField()  # of the ledger entries that it is of, with those between
    last_seq = models.BigIntegerField()
    corrects = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="corrections"
    )
    document = models.JSONField()
    final_at = models.DateTimeField()

    class Meta:
        ordering = ["-final_at", "number"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "period"],
                condition=Q(kind=InvoiceKind.INVOICE.value),
                name="invoice_of_period_once",
            ),
            models.UniqueConstraint(fields=["tenant", "id"], name="invoice_of_tenant"),
        ]

    def __str__(self) -> str:
        return self.number


class NumberSeries(models.Model):
    """The last number given; its lock is held until the invoice is in, so that no number is lost. Ours."""

    name = models.CharField(max_length=16, primary_key=True)  # "2026", "CN2026"
    last = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return self.name
