"""Final invoices and credit notes, for reading."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from unfold.contrib.filters.admin import AutocompleteSelectFilter, RangeDateFilter
from unfold.decorators import display

from console.admin.base import ReadOnlyAdmin
from metering.invoices.money import minutes, readable
from metering.invoices.output import TYPES, pieces
from metering.invoices.read import streams_of
from metering.models import Invoice

# The page is of our making, and may run and fetch nothing.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'"


@admin.register(Invoice)
class InvoiceAdmin(ReadOnlyAdmin):
    list_display = ("number", "kind_label", "tenant", "month", "shown_total", "final_at", "files")
    list_select_related = ("tenant",)
    list_filter = (("tenant", AutocompleteSelectFilter), ("final_at", RangeDateFilter))
    search_fields = ("number",)
    search_related = {"tenant": "name__icontains"}
    search_help_text = "The number, or the tenant"
    fields = (
        ("number", "kind_label"), ("tenant", "month"), ("shown_total", "shown_minutes"),
        ("final_at", "corrects"), ("first_seq", "last_seq"), "files",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Invoice]:
        queryset: QuerySet[Invoice] = super().get_queryset(request)
        return queryset.defer("document")

    @display(description="Kind", label={"Invoice": "info", "Credit note": "warning"})
    def kind_label(self, invoice: Invoice) -> str:
        return str(invoice.kind).replace("_", " ").capitalize()

    @display(description="Period", ordering="period")
    def month(self, invoice: Invoice) -> str:
        return f"{invoice.period:%B %Y}"

    @display(description="Total", ordering="total")
    def shown_total(self, invoice: Invoice) -> str:
        return f"{readable(str(invoice.total))} {invoice.currency}"

    @display(description="Minutes")
    def shown_minutes(self, invoice: Invoice) -> str:
        return readable(minutes(invoice.ms), 3)

    @display(description="Files")
    def files(self, invoice: Invoice) -> str:
        link = '<a class="text-primary-600 underline" href="{}" target="_blank" rel="noopener">{}</a>'
        suffixes = [suffix for suffix in TYPES if suffix != ".csv" or invoice.kind == "invoice"]
        links = [
            (reverse("admin:metering_invoice_file", args=[invoice.pk, suffix]), suffix[1:].upper())
            for suffix in suffixes
        ]
        return format_html('<span class="flex gap-3">{}</span>', format_html_join("", link, links))

    def get_urls(self) -> list[URLPattern]:
        file = path(
            "<uuid:id>/file/<str:suffix>", self.admin_site.admin_view(self.file), name="metering_invoice_file"
        )
        return [file, *super().get_urls()]

    def file(self, request: HttpRequest, id: Any, suffix: str) -> HttpResponse:
        invoice = self.get_object(request, str(id))
        if invoice is None or not self.has_view_permission(request, invoice):
            raise Http404
        return invoice_file(invoice.document, streams_of(invoice), suffix)


def invoice_file(document: dict[str, Any], streams: Iterable[Any], suffix: str) -> HttpResponse:
    if suffix not in TYPES:
        raise Http404
    name = document["number"] or f"draft-{document['customer']['account']}"
    # All at once: what runs the admin's transaction has ended when a stream of pieces would be read.
    content = b"".join(pieces(suffix, document, streams))
    response = HttpResponse(content, content_type=TYPES[suffix])
    response["Content-Disposition"] = (
        f'{"inline" if suffix in (".html", ".pdf") else "attachment"}; filename="{name}{suffix}"'
    )
    if suffix == ".html":
        response["Content-Security-Policy"] = POLICY
    response["Cache-Control"] = "no-store"
    return response
