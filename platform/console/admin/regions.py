"""Regions and flags, which are set here or by `manage.py`, and the history of what was configured."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.html import format_html
from unfold.decorators import action, display

from console.admin.base import ReadOnlyAdmin, StaffAdmin, acting, become
from regions import selectors, services
from regions.models import Change, Flag, Gateway, Region
from regions.routing import State


@admin.register(Region)
class RegionAdmin(StaffAdmin):
    list_display = ("name", "state_label", "zone", "capacity", "address", "running")
    list_filter = ("state",)
    search_fields = ("name__startswith", "address__icontains")
    search_help_text = "How the name begins, or a part of the address"
    fields = (("name", "zone"), ("address", "capacity"), ("state", "created_at"))
    actions_detail = ("activate", "drain", "down")

    def get_fields(self, request: HttpRequest, obj: Region | None = None) -> tuple[Any, ...]:
        return self.fields if obj else self.fields[:2]

    def get_readonly_fields(self, request: HttpRequest, obj: Region | None = None) -> tuple[str, ...]:
        return ("name", "state", "created_at") if obj else ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Region]:
        self._seen = selectors.view(-1).regions
        queryset: QuerySet[Region] = super().get_queryset(request)
        return queryset

    @display(
        description="State",
        ordering="state",
        label={"Active": "success", "Draining": "warning", "Down": "danger"},
    )
    def state_label(self, region: Region) -> str:
        return str(region.get_state_display())

    @display(description="Running")
    def running(self, region: Region) -> str:
        seen = self._seen.get(region.name)
        if seen is None or not seen.gateways:
            return "silent"
        return f"{seen.gateways} gateways, {seen.streams} streams, room for {seen.room}"

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may_write(request)

    def save_model(self, request: HttpRequest, obj: Region, form: Any, change: bool) -> None:
        given: dict[str, Any] = {"address": obj.address, "zone": obj.zone, "capacity": obj.capacity}
        if change:
            services.change_region(obj.pk, actor=acting(request), **given)
        else:
            services.add_region(obj.name, actor=acting(request), **given)
            become(obj, Region.objects.get(name=obj.name))

    def _could_become(self, request: HttpRequest, object_id: str, state: State) -> bool:
        return self.may_write(request) and not Region.objects.filter(name=object_id, state=state).exists()

    def has_activate_permission(self, request: HttpRequest, object_id: str) -> bool:
        return self._could_become(request, object_id, State.ACTIVE)

    def has_drain_permission(self, request: HttpRequest, object_id: str) -> bool:
        return self._could_become(request, object_id, State.DRAINING)

    def has_down_permission(self, request: HttpRequest, object_id: str) -> bool:
        return self._could_become(request, object_id, State.DOWN)

    @action(description="Activate", url_path="activate", permissions=["activate"], icon="check_circle")
    def activate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._turn(request, object_id, State.ACTIVE, "It takes streams from now on.")

    @action(description="Drain", url_path="drain", permissions=["drain"], icon="outbound")
    def drain(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._turn(
            request,
            object_id,
            State.DRAINING,
            "It takes no new streams. Those that can come back are sent to other regions, the others finish.",
        )

    @action(description="Down", url_path="down", permissions=["down"], icon="block")
    def down(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._turn(
            request, object_id, State.DOWN, "It takes no streams, and those that cannot be sent on are ended."
        )

    def _turn(self, request: HttpRequest, object_id: str, state: State, text: str) -> HttpResponse:
        region = get_object_or_404(Region, name=object_id)

        def then() -> HttpResponse:
            services.set_state(region.name, state, actor=acting(request))
            return self.done(request, f"{region} is {state.value} now.")

        return self.confirmed(
            request, region, title=f"Set {region} to {state.value}?", text=text,
            button=state.value.capitalize(), then=then, danger=state is not State.ACTIVE,
        )  # fmt: skip


@admin.register(Gateway)
class GatewayAdmin(ReadOnlyAdmin):
    list_display = ("label", "region", "streams", "room", "draining", "version", "seen_at")
    search_fields = ("label__icontains", "region__startswith")
    search_help_text = "Host and process, or how the region begins"


@admin.register(Flag)
class FlagAdmin(StaffAdmin):
    list_display = ("name", "value", "region", "tenant")
    list_filter = ("name",)
    search_fields = ("name__startswith", "region__startswith")
    search_help_text = "How the flag or the region begins"
    fields = ("name", "value", ("region", "tenant"))

    def get_readonly_fields(self, request: HttpRequest, obj: Flag | None = None) -> tuple[str, ...]:
        return ("name", "region", "tenant") if obj else ()

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may_write(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may_write(request)

    def save_model(self, request: HttpRequest, obj: Flag, form: Any, change: bool) -> None:
        services.set_flag(obj.name, obj.value, region=obj.region, tenant=obj.tenant, actor=acting(request))
        become(obj, Flag.objects.get(name=obj.name, region=obj.region, tenant=obj.tenant))

    def delete_model(self, request: HttpRequest, obj: Flag) -> None:
        services.set_flag(obj.name, None, region=obj.region, tenant=obj.tenant, actor=acting(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Flag]) -> None:
        for flag in queryset:
            self.delete_model(request, flag)


@admin.register(Change)
class ChangeAdmin(ReadOnlyAdmin):
    list_display = ("version", "at", "what", "subject", "who")
    list_display_links = ("version", "what")
    search_fields = ("what__startswith", "who__icontains", "subject__startswith")
    search_help_text = "How the change or its subject begins, or who made it"
    fields = (("version", "at"), ("what", "subject"), ("who", "tenant"), "shown_details")

    @display(description="Details")
    def shown_details(self, change: Change) -> str:
        text = json.dumps(change.details, indent=2, ensure_ascii=False)
        return format_html('<pre class="whitespace-pre-wrap">{}</pre>', text)
