"""Sentences of errors for clients that do not speak our native protocol, which some of them name."""

from __future__ import annotations

from gateway.errors import GatewayError, IdleTimeout


def sentence(error: GatewayError) -> str:
    if isinstance(error, IdleTimeout):
        return f"Nothing came from the client for too long. {error.detail}".strip()
    return error.sentence
