"""The document as one HTML page, on screen and on paper. It asks for nothing from elsewhere."""

from __future__ import annotations

from typing import Any

from django.template.loader import render_to_string

from metering.invoices.view import view


def render_html(document: dict[str, Any]) -> str:
    return render_to_string("metering/invoice.html", {"view": view(document)})
