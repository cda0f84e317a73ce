"""Plans: what their tenants may do at most. Made and changed here, never removed."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from console.admin.base import StaffAdmin, acting, become
from tenants import services
from tenants.limits import NAMES, limits_of
from tenants.models import Plan

LIMIT_ROWS = (NAMES[:2], NAMES[2:])


@admin.register(Plan)
class PlanAdmin(StaffAdmin):
    list_display = ("name", "slug", *NAMES, "tenant_count")
    search_fields = ("name__icontains", "slug__startswith")
    search_help_text = "Name, or how the slug begins"
    fields = (("name", "slug"), *LIMIT_ROWS)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Plan]:
        queryset: QuerySet[Plan] = super().get_queryset(request)
        return queryset.annotate(tenant_count=Count("tenants"))

    @display(description="Tenants")
    def tenant_count(self, plan: Any) -> int:
        return int(plan.tenant_count)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may_write(request)

    def get_readonly_fields(self, request: HttpRequest, obj: Plan | None = None) -> tuple[str, ...]:
        return ("slug",) if obj else ()

    def save_model(self, request: HttpRequest, obj: Plan, form: Any, change: bool) -> None:
        if change:
            services.change_plan(
                Plan.objects.get(id=obj.pk), limits_of(obj), name=obj.name, actor=acting(request)
            )
        else:
            become(obj, services.create_plan(obj.name, obj.slug, limits_of(obj), actor=acting(request)))
