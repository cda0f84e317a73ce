"""What tenants pay with and how far. Changed here through the service, made when first needed."""

from __future__ import annotations

from datetime import date
from typing import Any

from django import forms
from django.contrib import admin
from django.core.validators import MinValueValidator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.decorators import display

from console.admin.base import StaffAdmin, acting, become
from console.admin.invoices import invoice_file
from metering import periods
from metering.invoices.money import readable
from metering.invoices.read import drafted
from metering.ledger import accounts
from metering.ledger.errors import BillingError
from metering.models import Account
from tenants.access import Hold

TEXTS = {
    "legal_name": "On invoices. Empty: the tenant's name.",
    "address": "On invoices, as it is written here.",
    "tax_id": "On invoices.",
    "email": "Where invoices and notices are sent.",
    "time_zone": "Whose months are the billing periods, such as Europe/Berlin.",
    "hard_cap": "Of a billing period. At it, audio is refused and nothing more is charged. Empty: none.",
    "soft_cap": "Of a billing period. At it, the customer is told. Empty: none.",
    "conservative": "While somebody investigates: what is found lost is not charged, and nothing is sent on.",
    "customer": "The customer's id at the payment provider.",
}


class AccountForm(forms.ModelForm):
    class Meta:
        model = Account
        fields = (*TEXTS, "mode", "currency")
        help_texts = TEXTS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("hard_cap", "soft_cap"):
            if name in self.fields:  # not for those who only read
                self.fields[name].validators.append(MinValueValidator(0))


@admin.register(Account)
class AccountAdmin(StaffAdmin):
    form = AccountForm
    list_display = (
        "tenant",
        "mode",
        "standing_label",
        "hold_label",
        "shown_balance",
        "shown_charged",
        "period",
    )
    list_filter = ("mode", "standing", "conservative", ("tenant", AutocompleteSelectFilter))
    ordering = ("-created_at",)
    search_fields = ("email__startswith", "customer")
    search_related = {"tenant": "name__icontains"}
    search_help_text = "Tenant, how the e-mail begins, or the customer's id at the payment provider"
    readonly_fields = (
        "tenant", "standing_label", "hold_label", "shown_balance", "shown_charged", "grace_until", "last_seq",
        "drafts", "created_at",
    )  # fmt: skip
    fieldsets = (
        ("Now", {"fields": (
            ("tenant", "drafts"), ("shown_balance", "shown_charged"), ("standing_label", "hold_label"),
            ("grace_until", "last_seq"),
        )}),
        ("Money", {"fields": (("mode", "currency"), ("hard_cap", "soft_cap"), ("customer", "conservative"))}),
        ("On invoices", {"fields": (("legal_name", "tax_id"), "address", ("email", "time_zone"))}),
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Account]:
        queryset: QuerySet[Account] = super().get_queryset(request)
        return queryset.select_related("tenant")  # for its name in titles too

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may_write(request)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        return {}

    def save_model(self, request: HttpRequest, obj: Account, form: Any, change: bool) -> None:
        changed = {name: form.cleaned_data[name] for name in form.changed_data}
        become(obj, accounts.change(obj.tenant_id, actor=acting(request), **changed))

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return super().changeform_view(request, *args, **kwargs)
        except BillingError as refused:
            return self.back(request, str(refused))

    @display(
        description="Standing",
        ordering="standing",
        label={"Good": "success", "Grace": "warning", "Suspended": "danger"},
    )
    def standing_label(self, account: Account) -> str:
        return str(account.standing).capitalize()

    @display(description="Hold", label={"No hold": "success"})
    def hold_label(self, account: Account) -> str:
        hold = Hold(account.tenant.hold)
        return "No hold" if hold == Hold.NONE else hold.value.replace("_", " ").replace("-", " ").capitalize()

    @display(description="Balance", ordering="balance")
    def shown_balance(self, account: Account) -> str:
        return f"{readable(str(account.balance))} {account.currency}"

    @display(description="Charged in the period")
    def shown_charged(self, account: Account) -> str:
        return f"{readable(str(account.charged))} {account.currency}"

    @display(description="Invoice drafts")
    def drafts(self, account: Account) -> str:
        now = periods.period_of(timezone.now(), account.time_zone)
        links = [
            format_html(
                '<a class="text-primary-600 underline" href="{}" target="_blank" rel="noopener">{}</a>',
                reverse("admin:metering_account_draft", args=[account.pk, period.first_day, ".html"]),
                f"{period.first_day:%B %Y}",
            )
            for period in (now, periods.previous(now))
        ]
        return format_html("{}, {}", *links)

    def get_urls(self) -> list[URLPattern]:
        draft = path(
            "<uuid:id>/draft/<str:day>/<str:suffix>",
            self.admin_site.admin_view(self.draft),
            name="metering_account_draft",
        )
        return [draft, *super().get_urls()]

    def draft(self, request: HttpRequest, id: Any, day: str, suffix: str) -> HttpResponse:
        account = self.get_object(request, str(id))
        if account is None or not self.has_view_permission(request, account):
            raise Http404
        try:
            document, streams = drafted(account.tenant_id, date.fromisoformat(day))
        except (ValueError, BillingError) as error:
            raise Http404 from error
        return invoice_file(document, streams, suffix)
