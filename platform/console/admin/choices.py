"""What the drop-downs that search offer: the rows, called as their admin calls them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.views.autocomplete import AutocompleteJsonView
from django.http import HttpRequest
from django.http.response import HttpResponseBase


class Choices(AutocompleteJsonView):
    def serialize_result(self, obj: Any, to_field_name: str) -> dict[str, Any]:
        return {
            **super().serialize_result(obj, to_field_name),
            "text": self.model_admin.choice_label(obj),  # type: ignore[attr-defined]
        }


def autocomplete(request: HttpRequest) -> HttpResponseBase:
    return Choices.as_view(admin_site=admin.site)(request)
