"""What Stripe refuses, in its own shape of an error."""

from __future__ import annotations

from typing import Any


class Refusal(Exception):
    """An answer other than 200."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = "invalid_request_error",
        code: str = "",
        param: str = "",
        headers: dict[str, str] | None = None,
        keep: bool = True,
        undo: bool = True,
    ) -> None:
        super().__init__(message)
        self.message, self.status, self.kind, self.code, self.param = message, status, kind, code, param
        self.headers = headers or {}
        self.keep = keep  # with the idempotency key: what never began to be done is not kept
        self.undo = undo  # False: it was refused after something had happened, as a payment that failed

    def body(self) -> dict[str, Any]:
        error = {"type": self.kind, "message": self.message, "code": self.code, "param": self.param}
        return {"error": {name: value for name, value in error.items() if value}}


class BrokenAnswer(Exception):
    """Ours: an answer that Stripe's document does not allow."""


def missing(kind: str, name: str, param: str = "id") -> Refusal:
    return Refusal(f"No such {kind}: '{name}'", status=404, code="resource_missing", param=param)


def no_such(kind: str, name: str, param: str) -> Refusal:
    """As `missing`, for an object that a request names in its parameters."""
    return Refusal(f"No such {kind}: '{name}'", code="resource_missing", param=param)


def unauthorised(message: str) -> Refusal:
    return Refusal(message, status=401, keep=False, headers={"WWW-Authenticate": 'Bearer realm="Stripe"'})


def too_many(message: str, code: str = "rate_limit", retry_after: int | None = None) -> Refusal:
    headers = {"Stripe-Should-Retry": "true"}
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    return Refusal(message, status=429, code=code, keep=False, headers=headers)
