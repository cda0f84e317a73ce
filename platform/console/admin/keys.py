"""API keys: issued, rotated and revoked here, and never shown but once. No page reads a key's hash."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.utils import timezone
from unfold.contrib.filters.admin import AutocompleteSelectFilter, RangeDateFilter
from unfold.decorators import action, display

from console.admin.base import StaffAdmin, acting, become
from console.admin.issue_form import IssueForm
from tenants import keytext, services
from tenants.models import APIKey, Project
from tenants.services.keys import ROTATION_OVERLAP


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("active", "Active"),
            ("expired", "Expired"),
            ("revoked", "Revoked"),
            ("replaced", "Replaced"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[APIKey]) -> QuerySet[APIKey]:
        now = timezone.now()
        match self.value():
            case "active":
                return queryset.filter(Q(expires_at=None) | Q(expires_at__gt=now), revoked_at=None)
            case "expired":
                return queryset.filter(expires_at__lte=now, revoked_at=None)
            case "revoked":
                return queryset.filter(revoked_at__isnull=False)
            case "replaced":
                return queryset.filter(replaced_by__isnull=False)
        return queryset


@admin.register(APIKey)
class APIKeyAdmin(StaffAdmin):
    list_display = ("name", "shown_prefix", "tenant", "project", "state_label", "last_used_at", "created_at")
    list_select_related = ("tenant", "project")
    list_filter = (
        StateFilter,
        ("tenant", AutocompleteSelectFilter),
        ("project", AutocompleteSelectFilter),
        ("created_at", RangeDateFilter),
    )
    search_fields = ("name__icontains", "prefix__startswith")
    search_related = {"tenant": "name__icontains", "project": "name__icontains"}
    search_help_text = "Name, prefix, tenant or project"
    autocomplete_fields = ("project",)
    form = IssueForm
    fields = (
        ("name", "shown_prefix"), ("tenant", "project"), ("scopes", "allowed_origins"),
        ("residency", "home_region", "allowed_regions"), ("state_label", "replaced_by"),
        ("expires_at", "revoked_at"), ("issued_by", "last_used_at"), ("created_at", "id"),
    )  # fmt: skip
    actions = ("revoke_selected",)
    actions_detail = ("rotate", "revoke")

    def get_fields(self, request: HttpRequest, obj: APIKey | None = None) -> tuple[Any, ...]:
        return self.fields if obj else IssueForm.Meta.fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[APIKey]:
        queryset: QuerySet[APIKey] = super().get_queryset(request)
        return queryset.defer("sha256")

    def matches(self, word: str) -> Q:
        # Keys are copied with their `sk_`; of a whole key only the prefix is looked for.
        if word.startswith("sk_"):
            return Q(prefix__startswith=keytext.prefix_of(word) or word[3:].split("_")[0])
        return super().matches(word)

    @display(description="Prefix", ordering="prefix")
    def shown_prefix(self, key: APIKey) -> str:
        return f"sk_{key.prefix}…"

    @display(
        description="State",
        label={"Active": "success", "Replaced": "warning", "Expired": "warning", "Revoked": "danger"},
    )
    def state_label(self, key: APIKey) -> str:
        if key.revoked_at:
            return "Revoked"
        if key.expires_at and key.expires_at <= timezone.now():
            return "Expired"
        return "Replaced" if key.replaced_by_id else "Active"

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if db_field.name == "project":
            field.label_from_instance = self.admin_site._registry[Project].choice_label
        return field

    # ---- issue, rotate, revoke

    def save_model(self, request: Any, obj: APIKey, form: Any, change: bool) -> None:
        given = form.cleaned_data
        key, request.key_text = services.issue_key(
            given["project"], name=given["name"], scopes=given["scopes"], actor=acting(request),
            allowed_origins=given["allowed_origins"], expires_at=given["expires_at"],
        )  # fmt: skip
        become(obj, key)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        # After the key has been issued there is one page to go to: the one that shows it.
        only_save = {"show_save_and_add_another": False, "show_save_and_continue": False}
        response: HttpResponse = super().add_view(request, form_url, {**(extra_context or {}), **only_save})
        return response

    def response_add(self, request: Any, obj: APIKey, post_url_continue: str | None = None) -> HttpResponse:
        return self.show_once(request, obj, request.key_text, f"../{obj.pk}/change/")

    def show_once(self, request: HttpRequest, key: APIKey, text: str, back: str) -> HttpResponse:
        """In the answer itself: a message that waits for the next page would be kept in a cookie or a row."""
        context = {
            **self.admin_site.each_context(request),
            "title": f"The new key {key.name}",
            "opts": self.opts,
            "key": key,
            "text": text,
            "back": back,
        }
        return TemplateResponse(request, "console/key_issued.html", context)

    def has_revoke_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        may = self.may_write(request)
        return may and (object_id is None or APIKey.objects.filter(id=object_id, revoked_at=None).exists())

    def has_rotate_permission(self, request: HttpRequest, object_id: str) -> bool:
        rotatable = APIKey.objects.filter(id=object_id, revoked_at=None, replaced_by=None)
        return self.may_write(request) and rotatable.exists()

    @action(description="Revoke", url_path="revoke", permissions=["revoke"], icon="block")
    def revoke(self, request: HttpRequest, object_id: str) -> HttpResponse:
        key = get_object_or_404(APIKey, id=object_id)

        def then() -> HttpResponse:
            services.revoke_key(key, actor=acting(request))
            return self.done(request, f"{key} is revoked.")

        return self.confirmed(
            request, key, title=f"Revoke {key}?", button="Revoke", then=then,
            text="It is refused everywhere within a second, its open streams are closed, and it cannot be "
            "made to work again.",
        )  # fmt: skip

    @action(description="Rotate", url_path="rotate", permissions=["rotate"], icon="autorenew")
    def rotate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        key = get_object_or_404(APIKey, id=object_id)
        hours = ROTATION_OVERLAP // timedelta(hours=1)

        def then() -> HttpResponse:
            new, text = services.rotate_key(key, actor=acting(request))
            return self.show_once(request, new, text, f"../../{new.pk}/change/")

        return self.confirmed(
            request, key, title=f"Rotate {key}?", button="Rotate", then=then, danger=False,
            text=f"A new key with the same scopes, origins and expiry is issued and shown once. The old one "
            f"works for {hours} hours more.",
        )  # fmt: skip

    @admin.action(description="Revoke", permissions=["revoke"])
    def revoke_selected(self, request: HttpRequest, queryset: QuerySet[APIKey]) -> None:
        revoked = 0
        for key in queryset.filter(revoked_at=None).order_by("id")[:1000]:
            services.revoke_key(key, actor=acting(request))
            revoked += 1
        messages.success(request, f"Revoked: {revoked}.")
