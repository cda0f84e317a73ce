"""What all pages of the staff admin share: rows are read here and written by services, searches use indexes,
and counting does not read a whole table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from django.contrib import messages
from django.core.paginator import Paginator
from django.db import connection
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.functional import cached_property
from unfold.admin import ModelAdmin

from tenants.errors import Refused
from tenants.models import User

COUNT_EXACTLY = 10_000
RELATED_MATCHES = 500


class EstimatingPaginator(Paginator):
    """A whole large table is not counted: PostgreSQL's own estimate stands for it."""

    @cached_property
    def count(self) -> int:
        if isinstance(self.object_list, QuerySet) and not self.object_list.query.where:
            estimate = estimated_rows(self.object_list.model)
            if estimate > COUNT_EXACTLY:
                return estimate
        return super().count


def estimated_rows(model: type[Model]) -> int:
    """As of the last ANALYZE; -1 if there was none."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT reltuples::bigint FROM pg_class WHERE oid = %s::regclass", [model._meta.db_table]
        )
        return int(cursor.fetchone()[0])


class StaffAdmin(ModelAdmin):
    """Rows can be seen, searched and filtered; a subclass says what else.

    `search_fields` are lookups on own columns, `search_related` names relations and the lookups that find
    them. A relation's matches are found first, each by its own index, because one OR over joined tables
    could use none.
    """

    paginator = EstimatingPaginator
    show_full_result_count = False
    show_facets = "never"
    list_per_page = 50
    list_filter_submit = True
    compressed_fields = True
    warn_unsaved_form = True
    search_fields: ClassVar[tuple[str, ...]] = ()
    search_related: ClassVar[Mapping[str, str]] = {}

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        for word in search_term.split()[:5]:
            queryset = queryset.filter(self.matches(word))
        return queryset, False

    def matches(self, word: str) -> Q:
        found = Q()
        for lookup in self.search_fields:
            found |= Q(**{lookup: word})
        for relation, lookup in self.search_related.items():
            related = self.model._meta.get_field(relation).related_model
            ids = related.objects.filter(**{lookup: word}).values_list("pk", flat=True)[:RELATED_MATCHES]
            found |= Q(**{f"{relation}__in": list(ids)})
        return found

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def choice_label(self, obj: Any) -> str:
        """What the row is called where it can be chosen."""
        return str(obj)

    def may_write(self, request: HttpRequest) -> bool:
        """For what changes rows though the row's page is only for reading."""
        return bool(request.user.has_perm(f"{self.opts.app_label}.change_{self.opts.model_name}"))

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            response: HttpResponse = super().changeform_view(request, *args, **kwargs)
        except Refused as refused:
            return self.back(request, str(refused))
        return response

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            response: HttpResponse = super().delete_view(request, *args, **kwargs)
        except Refused as refused:
            return self.back(request, str(refused))
        return response

    def back(self, request: HttpRequest, refusal: str) -> HttpResponse:
        messages.error(request, refusal)
        return HttpResponseRedirect(request.get_full_path())

    def confirmed(
        self,
        request: HttpRequest,
        obj: Any,
        *,
        title: str,
        text: str,
        button: str,
        then: Callable[[], HttpResponse],
        danger: bool = True,
    ) -> HttpResponse:
        """Ask first; the change itself comes by POST, so a link alone changes nothing."""
        if request.method == "POST":
            try:
                return then()
            except Refused as refused:
                messages.error(request, str(refused))
                return HttpResponseRedirect("../change/")
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "object": obj,
            "text": text,
            "button": button,
            "danger": danger,
        }
        return TemplateResponse(request, "console/confirm.html", context)

    def done(self, request: HttpRequest, text: str) -> HttpResponse:
        messages.success(request, text)
        return HttpResponseRedirect("../change/")


class ReadOnlyAdmin(StaffAdmin):
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False


def become(obj: Model, saved: Model) -> None:
    """Let `obj`, which the admin made from its form, be the row that a service wrote."""
    vars(obj).update(vars(saved))


def acting(request: HttpRequest) -> User:
    """Who makes the change: only staff get as far as here."""
    assert isinstance(request.user, User)  # noqa: S101
    return request.user
