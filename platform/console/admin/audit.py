"""The audit log, for reading."""

from __future__ import annotations

import json

from django.contrib import admin
from django.utils.html import format_html
from unfold.contrib.filters.admin import AutocompleteSelectFilter, RangeDateFilter
from unfold.decorators import display

from console.admin.base import ReadOnlyAdmin
from tenants.models import AuditEntry


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    list_display = ("at", "action", "actor", "tenant", "subject")
    list_display_links = ("at", "action")
    list_select_related = ("tenant",)
    list_filter = (("tenant", AutocompleteSelectFilter), ("at", RangeDateFilter))
    search_fields = ("action__startswith", "actor__icontains")
    search_related = {"tenant": "name__icontains"}
    search_help_text = "How the action begins, who did it, or the tenant"
    fields = (("at", "action"), ("actor", "tenant"), "subject", "shown_details")

    @display(description="Details")
    def shown_details(self, entry: AuditEntry) -> str:
        text = json.dumps(entry.details, indent=2, ensure_ascii=False)
        return format_html('<pre class="whitespace-pre-wrap">{}</pre>', text)
