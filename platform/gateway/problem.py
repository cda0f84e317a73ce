"""The body of a refused request, as Deepgram's clients read it. Pure."""

from __future__ import annotations

from gateway.errors import GatewayError


def body(error: GatewayError, request_id: str) -> dict[str, str]:
    """Deepgram's newer shape and its older one in one: clients read either."""
    plain = error.sentence.removesuffix(error.detail).strip() or error.sentence
    return {
        "category": error.code,
        "message": plain,
        "details": error.detail or plain,
        "request_id": request_id,
        "err_code": error.code,
        "err_msg": error.sentence,
    }
