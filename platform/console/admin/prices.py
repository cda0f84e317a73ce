"""What plans cost, for reading: versions are made by `manage.py prices` and never changed."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import TabularInline
from unfold.decorators import display

from console.admin.base import ReadOnlyAdmin
from metering.invoices.money import minutes, readable
from metering.models import PlanVersion, Price


class PriceInline(TabularInline):
    model = Price
    extra = 0
    can_delete = False
    fields = readonly_fields = ("label", "applies_to", "included", "shown_tiers", "shown_id")

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    @display(description="Applies to")
    def applies_to(self, price: Price) -> str:
        return ", ".join(filter(None, (price.model, price.kind, price.region))) or "all audio"

    @display(description="Included minutes")
    def included(self, price: Price) -> str:
        return readable(minutes(price.included_ms), 0)

    @display(description="Per minute")
    def shown_tiers(self, price: Price) -> str:
        return "; ".join(
            f"{tier['per_minute']}"
            + (f" up to {readable(minutes(tier['up_to_ms']), 0)}" if tier["up_to_ms"] is not None else "")
            for tier in price.tiers
        )

    @display(description="Id")
    def shown_id(self, price: Price) -> str:
        return str(price.id)


@admin.register(PlanVersion)
class PlanVersionAdmin(ReadOnlyAdmin):
    list_display = ("plan", "number", "effective_from", "currency", "minimum", "created_at")
    list_display_links = ("plan", "number")
    list_select_related = ("plan",)
    list_filter = ("plan",)
    search_related = {"plan": "name__icontains"}
    search_help_text = "The plan"
    ordering = ("plan__name", "-number")
    fields = (("plan", "number"), ("effective_from", "currency"), ("minimum", "created_at"))
    inlines = (PriceInline,)

    @display(description="Minimum of a stream")
    def minimum(self, version: PlanVersion) -> str:
        return f"{version.minimum_ms / 1000:g} s" if version.minimum_ms else "none"
