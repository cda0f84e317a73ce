"""Only what is under /v1/ is ours to answer for, on either of Django's handlers."""

from __future__ import annotations

import uuid

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from gateway.rest.middleware import rest_middleware


def broken(request: HttpRequest) -> HttpResponse:
    return HttpResponse("<h1>Bad Request</h1>", status=500)


async def broken_async(request: HttpRequest) -> HttpResponse:
    return broken(request)


@pytest.mark.parametrize("path", ["/v1/projects", "/admin/"])
async def test_it_is_the_same_in_both(path: str) -> None:
    request = RequestFactory().get(path)
    before = rest_middleware(broken)(request)
    after = await rest_middleware(broken_async)(RequestFactory().get(path))
    assert before.status_code == after.status_code == 500
    ours = path.startswith("/v1/")
    for answer in (before, after):
        assert ("dg-request-id" in answer) == ours
        assert (b"internal_error" in answer.content) == ours
        if ours:
            uuid.UUID(answer["dg-request-id"])


def test_an_answer_that_is_well_is_left_as_it_is() -> None:
    def well(request: HttpRequest) -> HttpResponse:
        return HttpResponse("well", headers={"Cache-Control": "max-age=60"})

    answer = rest_middleware(well)(RequestFactory().get("/v1/openapi.json"))
    assert answer.content == b"well"
    assert answer["Cache-Control"] == "max-age=60"
    assert answer["dg-request-id"]
