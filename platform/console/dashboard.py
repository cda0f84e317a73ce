"""The first page of the staff admin: how much there is, and what was done last."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse

from console.admin.base import COUNT_EXACTLY, estimated_rows
from tenants.models import APIKey, AuditEntry, Member, Project, Tenant

CARDS = (
    (Tenant, "Tenants", "apartment"),
    (Project, "Projects", "folder"),
    (APIKey, "API keys", "key"),
    (Member, "Members", "group"),
)
LATEST = 10


def environment(request: HttpRequest) -> list[str] | None:
    return ["Demo", "warning"] if settings.DEMO else None


def context(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    cards = [
        {
            "title": title,
            "icon": icon,
            "count": _count(model),
            "href": reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"),
        }
        for model, title, icon in CARDS
        if request.user.has_perm(f"{model._meta.app_label}.view_{model._meta.model_name}")
    ]
    latest = []
    if request.user.has_perm("tenants.view_auditentry"):
        latest = list(AuditEntry.objects.select_related("tenant").order_by("-at", "-id")[:LATEST])
    table = {
        "headers": ["When", "Action", "Who", "Tenant"],
        "rows": [[f"{entry.at:%Y-%m-%d %H:%M}", entry.action, entry.actor, entry.tenant] for entry in latest],
    }
    return {**context, "cards": cards, "latest": table, "region": settings.REGION}


def _count(model: type[Model]) -> int:
    estimate = estimated_rows(model)
    return estimate if estimate > COUNT_EXACTLY else model._default_manager.count()
