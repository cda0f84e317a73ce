"""What the payment provider was told and what it told us, for reading. Dead letters wait for a person."""

from __future__ import annotations

import json

from django.contrib import admin
from django.utils.html import format_html
from unfold.contrib.filters.admin import AutocompleteSelectFilter, RangeDateFilter
from unfold.decorators import display

from console.admin.base import ReadOnlyAdmin
from metering.models import MeterIntent, WebhookEvent

STATES = {
    "Pending": "info", "Sending": "info", "Doubtful": "warning", "Delivered": "success", "Dead": "danger",
    "Dropped": "warning",
}  # fmt: skip


@admin.register(MeterIntent)
class MeterIntentAdmin(ReadOnlyAdmin):
    list_display = ("timestamp", "tenant", "meter", "value", "state_label", "attempts", "next_at", "error")
    list_display_links = ("timestamp", "meter")
    list_select_related = ("tenant",)
    list_filter = ("state", ("tenant", AutocompleteSelectFilter), ("timestamp", RangeDateFilter))
    search_fields = ("identifier",)
    search_related = {"tenant": "name__icontains"}
    search_help_text = "The identifier, or the tenant"
    ordering = ("-id",)
    fields = (
        ("identifier", "state_label"), ("tenant", "customer"), ("meter", "value"), ("from_seq", "to_seq"),
        ("timestamp", "created_at"), ("attempts", "first_sent_at"), ("next_at", "settled_at"), "error",
    )  # fmt: skip

    @display(description="State", ordering="state", label=STATES)
    def state_label(self, intent: MeterIntent) -> str:
        return str(intent.state).capitalize()


@admin.register(WebhookEvent)
class WebhookEventAdmin(ReadOnlyAdmin):
    list_display = ("received_at", "type", "provider_id", "attempts", "handled_at", "outcome")
    list_filter = (("received_at", RangeDateFilter),)
    search_fields = ("provider_id",)
    search_help_text = "The event's id at the provider"
    ordering = ("-id",)
    fields = (
        ("provider_id", "type"), ("created", "received_at"), ("attempts", "next_at"),
        ("handled_at", "outcome"), "shown_payload",
    )  # fmt: skip

    @display(description="Payload")
    def shown_payload(self, event: WebhookEvent) -> str:
        text = json.dumps(event.payload, indent=2, ensure_ascii=False)
        return format_html('<pre class="whitespace-pre-wrap">{}</pre>', text)
