"""Tenants, which have a plan, and projects, which may have limits of their own."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from unfold.contrib.filters.admin import AutocompleteSelectFilter, RangeDateFilter
from unfold.decorators import action, display

from console.admin.base import StaffAdmin, acting, become
from console.admin.plans import LIMIT_ROWS
from regions.services import set_tenant_residency
from tenants import services
from tenants.access import TenantState
from tenants.limits import limits_of
from tenants.models import Project, Tenant
from tenants.residency import rule_of

PLACE = ("residency", "home_region", "allowed_regions")


@admin.register(Tenant)
class TenantAdmin(StaffAdmin):
    list_display = ("name", "slug", "plan", "state_label", "created_at")
    list_select_related = ("plan",)
    list_filter = ("state", "plan", ("created_at", RangeDateFilter))
    search_fields = ("name__icontains", "slug__startswith")
    search_help_text = "Name, or how the slug begins"
    fields = (("name", "slug"), "plan", PLACE, ("state", "created_at"), "id")
    actions_detail = ("suspend", "reactivate")

    def get_fields(self, request: HttpRequest, obj: Tenant | None = None) -> tuple[Any, ...]:
        return self.fields if obj else ("name", "slug", "plan", PLACE)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may_write(request)

    def get_readonly_fields(self, request: HttpRequest, obj: Tenant | None = None) -> tuple[str, ...]:
        return ("name", "slug", "state", "created_at", "id") if obj else ()

    @display(description="State", ordering="state", label={"Active": "success", "Suspended": "danger"})
    def state_label(self, tenant: Tenant) -> str:
        return str(tenant.get_state_display())

    def save_model(self, request: HttpRequest, obj: Tenant, form: Any, change: bool) -> None:
        plan, rule = obj.plan, rule_of(obj)
        if change:
            obj = Tenant.objects.get(id=obj.pk)
        else:
            become(obj, services.create_tenant(obj.name, obj.slug, actor=acting(request)))
        services.set_plan(obj, plan, actor=acting(request))
        set_tenant_residency(obj, rule, actor=acting(request))

    def has_suspend_permission(self, request: HttpRequest, object_id: str) -> bool:
        return self._could_become(request, object_id, TenantState.SUSPENDED)

    def has_reactivate_permission(self, request: HttpRequest, object_id: str) -> bool:
        return self._could_become(request, object_id, TenantState.ACTIVE)

    def _could_become(self, request: HttpRequest, object_id: str, state: TenantState) -> bool:
        return self.may_write(request) and not Tenant.objects.filter(id=object_id, state=state).exists()

    @action(description="Suspend", url_path="suspend", permissions=["suspend"], icon="block")
    def suspend(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._turn(
            request, object_id, TenantState.SUSPENDED,
            text="Every key of this tenant is refused from now on, and its open streams are closed.",
        )  # fmt: skip

    @action(description="Reactivate", url_path="reactivate", permissions=["reactivate"], icon="check_circle")
    def reactivate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._turn(
            request, object_id, TenantState.ACTIVE, text="The keys of this tenant work again from now on."
        )

    def _turn(self, request: HttpRequest, object_id: str, state: TenantState, *, text: str) -> HttpResponse:
        tenant = get_object_or_404(Tenant, id=object_id)
        verb = "Suspend" if state == TenantState.SUSPENDED else "Reactivate"

        def then() -> HttpResponse:
            services.set_tenant_state(tenant, state, actor=acting(request))
            return self.done(request, f"{tenant} is {state.value} now.")

        return self.confirmed(
            request, tenant, title=f"{verb} {tenant}?", text=text, button=verb, then=then,
            danger=state == TenantState.SUSPENDED,
        )  # fmt: skip


@admin.register(Project)
class ProjectAdmin(StaffAdmin):
    list_display = ("name", "tenant", "state_label", "created_at")
    list_select_related = ("tenant",)
    list_filter = (("tenant", AutocompleteSelectFilter), ("archived_at", admin.EmptyFieldListFilter))
    search_fields = ("name__icontains",)
    search_related = {"tenant": "name__icontains"}
    search_help_text = "Name of the project or of its tenant"
    autocomplete_fields = ("tenant",)
    fields = (("name", "tenant"), *LIMIT_ROWS, ("created_at", "archived_at"), "id")
    actions_detail = ("archive",)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may_write(request)

    def get_readonly_fields(self, request: HttpRequest, obj: Project | None = None) -> tuple[str, ...]:
        return ("name", "tenant", "created_at", "archived_at", "id") if obj else ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Project]:
        queryset: QuerySet[Project] = super().get_queryset(request)
        return queryset.select_related("tenant")

    def choice_label(self, obj: Project) -> str:
        return f"{obj.tenant} / {obj.name}"  # many tenants have a project "Production"

    def get_fields(self, request: HttpRequest, obj: Project | None = None) -> tuple[Any, ...]:
        return self.fields if obj else ("tenant", "name", *LIMIT_ROWS)

    @display(description="State", label={"Active": "success", "Archived": "warning"})
    def state_label(self, project: Project) -> str:
        return "Archived" if project.archived_at else "Active"

    def save_model(self, request: HttpRequest, obj: Project, form: Any, change: bool) -> None:
        limits = limits_of(obj)
        if change:
            obj = Project.objects.get(id=obj.pk)
        else:
            become(obj, services.create_project(obj.tenant, obj.name, actor=acting(request)))
        services.set_project_limits(obj, limits, actor=acting(request))

    def has_archive_permission(self, request: HttpRequest, object_id: str) -> bool:
        return self.may_write(request) and Project.objects.filter(id=object_id, archived_at=None).exists()

    @action(description="Archive", url_path="archive", permissions=["archive"], icon="archive")
    def archive(self, request: HttpRequest, object_id: str) -> HttpResponse:
        project = get_object_or_404(Project, id=object_id)

        def then() -> HttpResponse:
            services.archive_project(project, actor=acting(request))
            return self.done(request, f"{project} is archived.")

        return self.confirmed(
            request, project, title=f"Archive {project}?", button="Archive", then=then,
            text="Its keys stop working, for good. Its usage stays.",
        )  # fmt: skip
