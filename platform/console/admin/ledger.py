"""The ledger and what is derived of it, for reading. Lists follow an index: the ledger grows for ever."""

from __future__ import annotations

from django.contrib import admin
from unfold.contrib.filters.admin import AutocompleteSelectFilter, RangeDateFilter
from unfold.decorators import display

from console.admin.base import ReadOnlyAdmin
from metering.invoices.money import readable
from metering.models import Counter, LedgerEntry, Receipt, ReceiptDue, ReceiptHead, Unposted, Unsettled

LABELS = {"Usage": "info", "Correction": "warning", "Credit": "success", "Adjustment": "warning"}


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ReadOnlyAdmin):
    list_display = (
        "seq",
        "tenant",
        "kind_label",
        "processed_at",
        "request_id",
        "seconds",
        "shown_amount",
        "reason",
    )
    list_display_links = ("seq", "kind_label")
    list_select_related = ("tenant",)
    # `processed_at` and `request_id` are found within each tenant's part of an index.
    list_filter = (("tenant", AutocompleteSelectFilter), ("processed_at", RangeDateFilter))
    search_fields = ("request_id",)
    search_related = {"tenant": "name__icontains"}
    search_help_text = "The request's id, or the tenant"
    ordering = ("-tenant_id", "-seq")
    fields = (
        ("seq", "kind_label"), ("tenant", "period"), ("at", "processed_at"), ("shown_amount", "shown_waived"),
        ("reason", "reference"), ("request_id", "stream"), ("from_ms", "to_ms"), ("ms", "rated_in"),
        ("model", "usage_kind"), ("region", "tags"), ("project_id", "key_id"), "price",
        "shown_previous", "shown_hash",
    )  # fmt: skip

    @display(description="Kind", label=LABELS)
    def kind_label(self, entry: LedgerEntry) -> str:
        return str(entry.kind).capitalize()

    @display(description="Seconds")
    def seconds(self, entry: LedgerEntry) -> str:
        return f"{entry.ms / 1000:.3f}" if entry.ms else ""

    @display(description="Amount")
    def shown_amount(self, entry: LedgerEntry) -> str:
        return f"{readable(str(entry.amount))} {entry.currency}"

    @display(description="Waived")
    def shown_waived(self, entry: LedgerEntry) -> str:
        return f"{readable(str(entry.waived))} {entry.currency}"

    @display(description="Hash of the entry before")
    def shown_previous(self, entry: LedgerEntry) -> str:
        return bytes(entry.previous_hash).hex()

    @display(description="Hash")
    def shown_hash(self, entry: LedgerEntry) -> str:
        return bytes(entry.hash).hex()


@admin.register(Counter)
class CounterAdmin(ReadOnlyAdmin):
    list_display = ("tenant", "period", "price_id", "ms", "charged", "waived")
    list_select_related = ("tenant",)
    list_filter = (("tenant", AutocompleteSelectFilter),)
    search_related = {"tenant": "name__icontains"}
    search_help_text = "The tenant"
    ordering = ("-tenant_id", "-period", "-price_id")


@admin.register(Receipt)
class ReceiptAdmin(ReadOnlyAdmin):
    list_display = ("number", "tenant", "request_id", "revision", "key", "issued_at")
    list_select_related = ("tenant",)
    list_filter = (("tenant", AutocompleteSelectFilter),)
    search_fields = ("request_id",)
    search_related = {"tenant": "name__icontains"}
    search_help_text = "The request's id, or the tenant"
    ordering = ("-tenant_id", "-number")
    fields = (("number", "tenant"), ("request_id", "revision"), ("key", "issued_at"), "body")


class QueueAdmin(ReadOnlyAdmin):
    """What waits, or is kept so that others need not look for it."""

    list_select_related = ("tenant",)
    search_related = {"tenant": "name__icontains"}
    search_help_text = "The tenant"


for model in (ReceiptHead, ReceiptDue, Unposted, Unsettled):
    admin.site.register(model, QueueAdmin)
