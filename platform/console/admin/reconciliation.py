"""What was compared and what differed, and the second record that it is compared with; for reading."""

from __future__ import annotations

import json

from django.contrib import admin
from django.utils.html import format_html
from unfold.contrib.filters.admin import AutocompleteSelectFilter, RangeDateFilter
from unfold.decorators import display

from console.admin.base import ReadOnlyAdmin
from metering.models import Difference, InferenceLog, InferenceRecord, Reconciliation


@admin.register(Reconciliation)
class ReconciliationAdmin(ReadOnlyAdmin):
    list_display = ("day", "started_at", "finished_at", "dry_run", "tenants", "differences_found")
    list_display_links = ("day", "started_at")
    list_filter = ("dry_run", ("day", RangeDateFilter))
    ordering = ("-started_at",)
    fields = (("day", "only"), ("started_at", "finished_at"), ("dry_run", "tenants"), "shown_summary")

    @display(description="Differences")
    def differences_found(self, run: Reconciliation) -> int:
        return run.differences.count()

    @display(description="Summary")
    def shown_summary(self, run: Reconciliation) -> str:
        text = json.dumps(run.summary, indent=2, ensure_ascii=False)
        return format_html('<pre class="whitespace-pre-wrap">{}</pre>', text)


@admin.register(Difference)
class DifferenceAdmin(ReadOnlyAdmin):
    list_display = (
        "number", "found_at", "tenant", "day", "kind_label", "action_label", "state_label", "what", "ms",
        "value",
    )  # fmt: skip
    list_display_links = ("number", "found_at")
    list_select_related = ("tenant",)
    list_filter = ("open", "kind", "action", ("tenant", AutocompleteSelectFilter), ("day", RangeDateFilter))
    search_fields = ("stream__startswith",)
    search_related = {"tenant": "name__icontains"}
    search_help_text = "How the stream's id begins, or the tenant"
    ordering = ("-found_at", "-id")
    fields = (
        "number",
        ("tenant", "day"), ("kind_label", "action_label"), ("stream", "meter"), ("from_ms", "to_ms"),
        ("ms", "value"), "detail", ("state_label", "found_at"), ("closed_at", "run"),
    )  # fmt: skip

    @display(description="Number", ordering="id")
    def number(self, difference: Difference) -> str:
        """As the report has it, and `manage.py reconcile --close`."""
        return f"#{difference.id}"

    @display(description="State", ordering="open", label={"Open": "danger", "Closed": "success"})
    def state_label(self, difference: Difference) -> str:
        return "Open" if difference.open else "Closed"

    @display(description="Kind")
    def kind_label(self, difference: Difference) -> str:
        return str(difference.kind).replace("_", " ").capitalize()

    @display(
        description="Action", label={"Raised": "danger", "Waiting": "warning", "Replayed": "success",
                                     "Credited": "success", "Sent": "success", "None": "info"},
    )  # fmt: skip
    def action_label(self, difference: Difference) -> str:
        return str(difference.action).capitalize()

    @display(description="Stream or meter")
    def what(self, difference: Difference) -> str:
        return difference.stream or difference.meter


@admin.register(InferenceRecord)
class InferenceRecordAdmin(ReadOnlyAdmin):
    list_display = ("processed_at", "tenant", "stream", "seconds", "model", "region", "worker")
    list_select_related = ("tenant",)
    list_filter = (("tenant", AutocompleteSelectFilter),)
    search_fields = ("stream",)
    search_related = {"tenant": "name__icontains"}
    search_help_text = "The stream's id, or the tenant"
    ordering = ("-id",)

    @display(description="Seconds")
    def seconds(self, record: InferenceRecord) -> str:
        return f"{(record.to_ms - record.from_ms) / 1000:.3f}"


@admin.register(InferenceLog)
class InferenceLogAdmin(ReadOnlyAdmin):
    list_display = ("log", "worker", "region", "shipped", "complete_until", "closed", "seen_at")
    list_filter = ("closed",)
    search_fields = ("worker__startswith",)
    search_help_text = "How the worker's name begins"
    ordering = ("-seen_at",)
