"""Users, their places in tenants, and the groups of staff."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import BaseUserCreationForm
from django.contrib.auth.models import Group
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm
from unfold.widgets import UnfoldAdminEmailInputWidget, UnfoldAdminPasswordWidget

from console.admin.base import StaffAdmin, acting, become
from tenants import services
from tenants.models import Member, User
from tenants.permissions import Role

admin.site.unregister(Group)

ONLY_SUPERUSERS_GIVE = ("is_staff", "is_superuser", "groups")


class AddUserForm(BaseUserCreationForm):
    class Meta:
        model = User
        fields = ("email",)
        widgets = {"email": UnfoldAdminEmailInputWidget}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("password1", "password2"):
            self.fields[name].widget = UnfoldAdminPasswordWidget()

    def clean_email(self) -> str:
        return str(self.cleaned_data["email"]).lower()


@admin.register(User)
class UserAdmin(StaffAdmin, DjangoUserAdmin):  # type: ignore[misc]
    list_display = ("email", "name", "is_staff", "is_active", "last_login", "created_at")
    list_filter = ("is_staff", "is_active")
    ordering = ("email",)
    search_fields = ("email__icontains", "name__icontains")
    search_help_text = "E-mail or name"
    readonly_fields = ("last_login", "created_at", "id")
    filter_horizontal = ()
    fieldsets = (
        (None, {"fields": ("email", "name", "password")}),
        ("Access", {"fields": ("is_active", "is_staff", "is_superuser", "groups")}),
        ("Record", {"fields": (("last_login", "created_at"), "id")}),
    )
    add_fieldsets = ((None, {"fields": ("email", "password1", "password2")}),)
    add_form = AddUserForm
    form = UserChangeForm
    change_password_form = AdminPasswordChangeForm

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Who may change a superuser's password would be one.
        if isinstance(obj, User) and obj.is_superuser and not request.user.is_superuser:
            return False
        return self.may_write(request)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return self.readonly_fields + (() if request.user.is_superuser else ONLY_SUPERUSERS_GIVE)


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):
    pass


@admin.register(Member)
class MemberAdmin(StaffAdmin):
    list_display = ("user", "tenant", "role_label", "created_at")
    list_select_related = ("user", "tenant")
    list_filter = ("role", ("tenant", AutocompleteSelectFilter))
    search_fields = ("role__startswith",)
    search_related = {"user": "email__icontains", "tenant": "name__icontains"}
    search_help_text = "E-mail of the user, or name of the tenant"
    autocomplete_fields = ("tenant", "user")
    fields = ("tenant", "user", "role", "created_at")
    readonly_fields = ("created_at",)

    @display(description="Role", ordering="role", label={"Owner": "success", "Admin": "info"})
    def role_label(self, member: Member) -> str:
        return str(member.get_role_display())

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may_write(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may_write(request)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        return {}  # members are removed one by one, by the service that keeps the last owner

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return (*self.readonly_fields, "tenant", "user") if obj else self.readonly_fields

    def save_model(self, request: Any, obj: Member, form: Any, change: bool) -> None:
        role = Role(form.cleaned_data["role"])
        if change:
            services.change_role(Member.objects.get(id=obj.pk), role, actor=acting(request))
        else:
            become(obj, services.add_member(obj.tenant, obj.user, role, actor=acting(request)))

    def delete_model(self, request: Any, obj: Member) -> None:
        services.remove_member(obj, actor=acting(request))
