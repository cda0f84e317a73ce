"""The OpenAPI document of everything under /v1/: what ninja generates of the REST operations, and the audio
addresses, which other applications answer. `make docs` writes it to docs/openapi.json."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from gateway.rest import audio_paths
from gateway.rest.operations import SCHEMES

PREFIX = "v1/"
DESCRIPTION = """Streaming speech-to-text on your own machines, for clients that speak Deepgram's or OpenAI's
protocol. Every request needs an API key; every refusal has a stable code, which the page on errors explains.

Lists are read with `limit` and `cursor`: an answer's `next_cursor` asks for what follows, and null says that
this was all."""
TAGS = [
    {"name": "audio", "description": "Live and recorded audio to text."},
    {"name": "tokens", "description": "Access tokens for browsers and apps."},
    {"name": "models", "description": "What can be asked for as `model`."},
    {"name": "projects", "description": "The projects of the key's tenant."},
    {"name": "keys", "description": "API keys: seen, issued, revoked."},
    {"name": "usage", "description": "How much audio was processed."},
    {"name": "requests", "description": "The log of what was asked and how it ended."},
    {"name": "receipts", "description": "Signed receipts, and the keys to check them with."},
    {"name": "billing", "description": "What is billed: usage, balance, invoices, settings."},
]


def document(generated: Any) -> Any:
    """`generated` by ninja, completed."""
    generated["tags"] = TAGS
    generated["paths"] = {**audio_paths.paths(), **generated["paths"]}
    generated["components"]["securitySchemes"] = SCHEMES
    for path in generated["paths"].values():
        for operation in path.values():
            _complete(operation)
    if not generated["servers"]:
        generated["servers"] = [{"url": "/"}]
    return generated


def text() -> str:
    """The file."""
    from gateway.rest.api import api

    return json.dumps(api.get_openapi_schema(), indent=1, ensure_ascii=False, default=str) + "\n"


def _complete(operation: dict[str, Any]) -> None:
    if operation.get("x-scope"):
        said = f"The scope `{operation['x-scope']}` is needed."
        operation["description"] = f"{operation['description'].removesuffix(said).strip()}\n\n{said}"
    for sent in operation.get("requestBody", {}).get("content", {}).values():
        # No body at all may do, but a body is an object.
        if either := [one for one in sent["schema"].get("anyOf", ()) if one != {"type": "null"}]:
            (sent["schema"],) = either
    for status, answer in operation["responses"].items():
        if answer["description"] == HTTPStatus(int(status)).phrase and int(status) >= 400:
            answer["description"] = audio_paths.REFUSED.get(int(status), answer["description"])
        answer.setdefault("headers", {})["dg-request-id"] = {
            "description": "The id of this request.",
            "schema": {"type": "string"},
        }
        if int(status) in (429, 503):
            answer["headers"]["Retry-After"] = {"description": "Seconds.", "schema": {"type": "integer"}}
