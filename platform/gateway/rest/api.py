"""The REST API as Django serves it: all operations, and one handler for whatever goes wrong in them."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError
from ninja.openapi.schema import OpenAPISchema

from gateway.rest import grant, keys, models, openapi, projects, requests, usage
from gateway.rest.refusals import refuse


class Api(NinjaAPI):
    def get_openapi_schema(self, **_: Any) -> OpenAPISchema:
        """The whole document, with the operations that other applications serve."""
        return openapi.document(super().get_openapi_schema(path_prefix=openapi.PREFIX))

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
    docs_url="/docs",
    openapi_url="/openapi.json",
)
for module in (grant, models, projects, keys, usage, requests):
    api.add_router("", module.router)
