"""Staff see every tenant, and only in the admin: the one place where a request runs in `staff_scope`."""

from __future__ import annotations

from collections.abc import Callable

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from tenants.scope import staff_scope


def staff_scope_in_admin(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Behind authentication; around the view and the rendering of its page, in one transaction."""

    def handle(request: HttpRequest) -> HttpResponse:
        user = request.user
        if not (request.path.startswith(reverse("admin:index")) and user.is_active and user.is_staff):
            return get_response(request)
        with staff_scope():
            response = get_response(request)
            # An exception has become a response by now, which would otherwise commit half of the work.
            if response.status_code >= 500:
                transaction.set_rollback(True)
            return response

    return handle
