"""Usage events and the request log, for reading."""

from __future__ import annotations

from django.contrib import admin
from unfold.contrib.filters.admin import AutocompleteSelectFilter, RangeDateFilter
from unfold.decorators import display

from console.admin.base import ReadOnlyAdmin
from metering.models import Request, UsageEvent


@admin.register(UsageEvent)
class UsageEventAdmin(ReadOnlyAdmin):
    list_display = ("recorded_at", "tenant", "stream", "seconds", "model", "region", "worker")
    list_select_related = ("tenant",)
    list_filter = (("tenant", AutocompleteSelectFilter), ("recorded_at", RangeDateFilter))
    search_fields = ("stream__startswith",)
    search_related = {"tenant": "name__icontains"}
    search_help_text = "How the stream's id begins, or the tenant"

    @display(description="Seconds")
    def seconds(self, event: UsageEvent) -> str:
        return f"{(event.to_ms - event.from_ms) / 1000:.3f}"


@admin.register(Request)
class RequestAdmin(ReadOnlyAdmin):
    list_display = ("started_at", "tenant", "request_id", "kind", "path", "outcome", "seconds", "model")
    list_display_links = ("started_at", "request_id")
    list_select_related = ("tenant",)
    list_filter = (("tenant", AutocompleteSelectFilter), ("started_at", RangeDateFilter))
    search_fields = ("request_id",)
    search_related = {"tenant": "name__icontains"}
    search_help_text = "The request's id, or the tenant"

    @display(description="Seconds")
    def seconds(self, request: Request) -> str:
        return f"{request.audio_ms / 1000:.3f}"
