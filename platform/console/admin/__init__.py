"""The staff admin over all models; found by Django by this name."""

from django.contrib import admin

from console.admin import (
    accounts,
    audit,
    invoices,
    keys,
    ledger,
    outbox,
    people,
    plans,
    prices,
    reconciliation,
    regions,
    tenants,
    usage,
)
from console.admin.choices import autocomplete

__all__ = [
    "accounts", "audit", "invoices", "keys", "ledger", "outbox", "people", "plans", "prices",
    "reconciliation", "regions", "tenants", "usage",
]  # fmt: skip

admin.site.index_template = "console/dashboard.html"
admin.site.index_title = "Overview"
admin.site.autocomplete_view = autocomplete  # type: ignore[method-assign, assignment]
