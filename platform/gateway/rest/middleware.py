"""Around everything under /v1/ that Django answers: an id for every request, and no answer without a code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import sync_and_async_middleware

from gateway.errors import UnknownHost
from gateway.rest.refusals import Refusal, of_status, refuse, request_id

PREFIX = "/v1/"


@sync_and_async_middleware
def rest_middleware(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    if iscoroutinefunction(get_response):

        async def handle_async(request: HttpRequest) -> HttpResponse:
            if not request.path.startswith(PREFIX):
                return await get_response(request)  # type: ignore[no-any-return]
            return _finish(request, _at_the_door(request) or await get_response(request))

        return handle_async

    def handle(request: HttpRequest) -> HttpResponse:
        if not request.path.startswith(PREFIX):
            return get_response(request)  # type: ignore[no-any-return]
        return _finish(request, _at_the_door(request) or get_response(request))

    return handle


def _at_the_door(request: HttpRequest) -> HttpResponse | None:
    try:
        request.get_host()
    except DisallowedHost:
        return refuse(request, UnknownHost())
    return None


def _finish(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    if response.status_code >= 400 and not isinstance(response, Refusal):
        allow = response.get("Allow")
        response = refuse(request, of_status(response))
        if allow:
            response["Allow"] = allow
    response["dg-request-id"] = response["x-request-id"] = request_id(request)
    # Keys and tokens are in some of them.
    response.setdefault("Cache-Control", "no-store")
    return response
