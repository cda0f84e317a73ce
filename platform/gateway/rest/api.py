"""The REST API as Django serves it: all operations, and one handler for whatever goes wrong in them."""

from __future__ import annotations

import json
from typing import Any

from django.http import Http404, HttpRequest
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError
from ninja.openapi.schema import OpenAPISchema
from ninja.parser import Parser

from gateway.body_errors import BadBody
from gateway.rest import (
    billing,
    billing_usage,
    grant,
    invoices,
    keys,
    models,
    openapi,
    projects,
    receipts,
    requests,
    usage,
)
from gateway.rest.refusals import refuse


class ObjectParser(Parser):
    def parse_body(self, request: HttpRequest) -> dict[str, Any]:
        """An object: ninja would take whatever else there is for one without fields."""
        found = json.loads(request.body)
        if not isinstance(found, dict):
            raise BadBody("It is JSON, but not an object.")
        return found


class Api(NinjaAPI):
    def get_openapi_schema(self, **_: Any) -> OpenAPISchema:
        """The whole document, with the operations that other applications serve."""
        found: OpenAPISchema = openapi.document(super().get_openapi_schema(path_prefix=openapi.PREFIX))
        return found

    def set_default_exception_handlers(self) -> None:
        def handle(request: HttpRequest, error: Any) -> Any:
            return refuse(request, error)

        for kind in (Exception, Http404, HttpError, ValidationError):
            self.add_exception_handler(kind, handle)


api = Api(
    title="Stenogate",
    version="1",
    description=openapi.DESCRIPTION,
    urls_namespace="rest",
    parser=ObjectParser(),
    docs_url="/docs",
    openapi_url="/openapi.json",
)
for module in (grant, models, projects, keys, usage, requests, receipts, billing_usage, billing, invoices):
    api.add_router("", module.router)
