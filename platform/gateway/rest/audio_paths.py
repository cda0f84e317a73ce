"""The addresses for audio, for the OpenAPI document. Other applications answer them; their parameters come
from the same tables that those applications read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway import described, region_query
from gateway.query import Parameter
from gateway.recorded import transcriptions
from gateway.rest.operations import SCHEMES, Problem

TAG = "audio"
_SECURITY: list[dict[str, list[str]]] = [{name: []} for name in SCHEMES]
RECORDED = (307, 400, 401, 403, 408, 413, 415, 422, 429, 500, 503)
_AUDIO = {"schema": {"type": "string", "format": "binary"}}
_TRANSCRIPT = {
    "type": "object",
    "required": ["metadata", "results"],
    "properties": {
        "metadata": {"type": "object", "description": "Request id, duration, channels, model."},
        "results": {
            "type": "object",
            "required": ["channels"],
            "properties": {
                "channels": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "alternatives": {
                                "type": "array",
                                "items": {
                                    "type": "object",
                                    "required": ["transcript"],
                                    "properties": {
                                        "transcript": {"type": "string"},
                                        "confidence": {"type": "number"},
                                        "words": {"type": "array", "items": {"type": "object"}},
                                    },
                                },
                            }
                        },
                    },
                }
            },
        },
    },
}
_EXAMPLE = {
    "metadata": {"request_id": "8f0c7f3e-3c53-4d0e-9e58-5d3c3f0b9a11", "duration": 1.2, "channels": 1},
    "results": {"channels": [{"alternatives": [{"transcript": "Hello.", "confidence": 0.98, "words": []}]}]},
}


def paths() -> dict[str, Any]:
    everywhere = [_parameter(parameter) for parameter in region_query.DESCRIBED]
    query = [*(_parameter(parameter) for parameter in described.DESCRIBED), *everywhere]
    return {
        "/v1/listen": {
            "get": _operation(
                "listen_live",
                "Stream live audio",
                "A WebSocket handshake. Send audio in binary messages and `KeepAlive`, `Finalize` and "
                "`CloseStream` in text; results come as they are heard. The scope `listen` is needed.",
                {
                    "101": {"description": "The stream is open. What is said on it is in docs/protocol.md."},
                    **_refusals(307, 400, 401, 403, 429, 503, content=_HANDSHAKE_PROBLEM),
                    **_refusals(426),
                },
                parameters=query,
            ),
            "post": _operation(
                "listen_recorded",
                "Transcribe a recording",
                "Send the recording as the body, in any format that is heard live or in a file, or a JSON "
                "object with its public `url`. The scope `listen` is needed.",
                {
                    "200": {
                        "description": "The transcript; or, with `callback`, the id of the request at once.",
                        "content": {
                            "application/json": {
                                "schema": {"anyOf": [_TRANSCRIPT, _object(request_id={"type": "string"})]},
                                "example": _EXAMPLE,
                            }
                        },
                    },
                    **_refusals(*RECORDED),
                },
                parameters=query,
                body={
                    "application/json": {
                        "schema": _object(url={"type": "string", "format": "uri"}),
                        "example": {"url": "https://example.com/recording.mp3"},
                    },
                    "audio/*": _AUDIO,
                    "application/octet-stream": _AUDIO,
                },
            ),
        },
        transcriptions.PATH: {
            "post": _operation(
                "create_transcription",
                "Transcribe a recording, as OpenAI's clients do",
                "A form with the recording in `file`. The scope `listen` is needed.",
                {
                    "200": {
                        "description": "The transcript in the shape of `response_format`, or with `stream` "
                        "its pieces as server-sent events.",
                        "content": {
                            "application/json": {"schema": _object(text={"type": "string"})},
                            "text/plain": {"schema": {"type": "string"}},
                            "text/event-stream": {"schema": {"type": "string"}},
                        },
                    },
                    **_refusals(*RECORDED, content=_OPENAI_PROBLEM),
                },
                parameters=everywhere,
                body={"multipart/form-data": {"schema": _form(transcriptions.DESCRIBED)}},
            )
        },
    }


def _operation(
    name: str,
    summary: str,
    description: str,
    responses: dict[str, Any],
    *,
    parameters: list[dict[str, Any]] | None = None,
    body: dict[str, Any] | None = None,
) -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": summary,
        "description": description,
        "tags": [TAG],
        "security": _SECURITY,
        "x-scope": "listen",
        "parameters": parameters or [],
        **({"requestBody": {"required": True, "content": body}} if body else {}),
        "responses": responses,
    }


def _parameter(parameter: Parameter) -> dict[str, Any]:
    schema = dict(parameter.schema)
    return {
        "name": parameter.name,
        "in": "query",
        "required": False,
        "description": _means(parameter),
        "schema": {"type": "array", "items": schema} if parameter.repeated else schema,
    }


def _form(parameters: Iterable[Parameter]) -> dict[str, Any]:
    fields: dict[str, Any] = {"file": {"type": "string", "format": "binary", "description": "The recording."}}
    for parameter in parameters:
        schema = {**parameter.schema, "description": _means(parameter)}
        if parameter.repeated:
            fields[f"{parameter.name}[]"] = {"type": "array", "items": schema}
        else:
            fields[parameter.name] = schema
    return {"type": "object", "required": ["file"], "properties": fields}


def _means(parameter: Parameter) -> str:
    means = parameter.means[0].upper() + parameter.means[1:]
    return f"{means}. Allowed: {parameter.allowed}. If it is not given: {parameter.default}."


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": sorted(properties), "properties": properties}


def _refusals(*statuses: int, content: dict[str, Any] | None = None) -> dict[str, Any]:
    problem = {"application/json": {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}}}
    return {
        str(status): {"description": REFUSED[status], "content": content or problem} for status in statuses
    }


REFUSED = {
    307: "Another region takes it: `Location` says where, with the same path and query.",
    400: "Something in the request is not allowed; it is named.",
    401: "The key or token is missing or not good.",
    403: "The key lacks a scope, or may not be used from there.",
    404: "There is nothing with this id, or it is not yours to see.",
    409: "What is there already does not allow it.",
    408: "The body came too slowly.",
    413: "The recording is too large or too long.",
    415: "What was sent is no audio that is read here.",
    422: "The recording holds no audio.",
    426: "GET is for WebSockets.",
    429: "A limit is reached; `Retry-After` says for how long.",
    500: "Something is broken on our side.",
    503: "No worker has room; `Retry-After` says when to try again.",
}
_HANDSHAKE_PROBLEM = {
    "application/json": {
        "schema": _object(
            err_code={"type": "string"}, err_msg={"type": "string"}, request_id={"type": "string"}
        )
    }
}
_OPENAI_PROBLEM = {
    "application/json": {
        "schema": _object(
            error=_object(
                message={"type": "string"},
                type={"type": "string"},
                param={"type": ["string", "null"]},
                code={"type": ["string", "null"]},
            )
        )
    }
}
