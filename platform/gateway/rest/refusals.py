"""The one place where whatever goes wrong in a REST request becomes an answer with a stable code."""

from __future__ import annotations

import logging
import uuid
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from ninja.errors import HttpError, ValidationError

from faults import kinds
from gateway.billing_errors import BillingRefused
from gateway.body_errors import BadBody, BodyTooLarge
from gateway.errors import (
    AccessRefused,
    BadParameter,
    ChangeRefused,
    ControlDatabaseUnreachable,
    GatewayError,
    InternalError,
    MethodNotAllowed,
    NotFound,
    Unavailable,
    UpgradeRequired,
)
from gateway.problem import body
from metering.ledger.errors import BillingError
from tenants.errors import AccessError, Refused

log = logging.getLogger(__name__)

MAX_MISTAKES = 5


class Refusal(JsonResponse):
    """An answer that names its error; what is none of these and says 400 or more comes from elsewhere."""


def request_id(request: HttpRequest) -> str:
    """Of this request, in every answer and every line of the log about it."""
    if not hasattr(request, "stenogate_id"):
        request.stenogate_id = str(uuid.uuid4())  # type: ignore[attr-defined]
    return str(request.stenogate_id)  # type: ignore[attr-defined]


def refuse(request: HttpRequest, error: Exception) -> Refusal:
    named = named_error(error)
    if isinstance(named, InternalError):
        log.error("request %s: %s", request_id(request), type(error).__name__, exc_info=error)
    answer = Refusal(body(named, request_id(request)), status=named.status)
    answer["dg-error"] = named.sentence.encode("ascii", "replace").decode()
    for name, value in named.headers.items():
        answer[name] = value
    if named.retry_after_s is not None:
        answer["Retry-After"] = str(max(1, round(named.retry_after_s)))
    if named.status == 401:
        answer["WWW-Authenticate"] = "Token"
    return answer


def live_only(request: HttpRequest) -> Refusal:
    """For whoever asks for a socket's address without a handshake."""
    answer = refuse(request, UpgradeRequired())
    answer["Allow"] = "GET"
    return answer


def named_error(error: Exception) -> GatewayError:
    if isinstance(error, GatewayError):
        return error
    if isinstance(error, AccessError):
        return AccessRefused(error)
    if isinstance(error, Refused):
        return ChangeRefused(error)
    if isinstance(error, BillingError):
        return BillingRefused(error)
    if isinstance(error, ValidationError):
        return _mistakes(error.errors)
    if isinstance(error, RequestDataTooBig):
        return BodyTooLarge()
    if isinstance(error, HttpError):  # ninja says so, and only of a body
        return error.__cause__ if isinstance(error.__cause__, BadBody) else BadBody("It is not JSON.")
    if isinstance(error, Http404):
        return NotFound()
    if isinstance(error, OperationalError | InterfaceError):
        if getattr(error.__cause__, "sqlstate", None) == "57014":  # the statement timeout
            return Unavailable("Adding this up takes too long. Ask for a shorter time.", retry_after_s=5)
        if kinds.postgres_is_away(error):
            return ControlDatabaseUnreachable()
        return Unavailable("The database is busy.", retry_after_s=5)
    return InternalError()


def of_status(response: HttpResponse) -> GatewayError:
    """For an answer that Django made before or instead of ours."""
    if response.status_code == 404:
        return NotFound()
    if response.status_code == 405:
        return MethodNotAllowed(f"Allowed here: {response.get('Allow', '')}.")
    if response.status_code == 413:
        return BodyTooLarge()
    return BadParameter("The request is malformed.") if response.status_code < 500 else InternalError()


def _mistakes(errors: list[dict[str, Any]]) -> GatewayError:
    """Each by the name of its field; never with its value, which may be a secret in the wrong place."""
    said = []
    for error in errors[:MAX_MISTAKES]:
        where = ".".join(str(part) for part in error["loc"][1:] if part != "body") or "body"
        said.append(f"{where}: {error['msg'].removeprefix('Value error, ')}")
    kind = BadBody if errors and errors[0]["loc"][0] == "body" else BadParameter
    return kind("; ".join(said) + ".")
