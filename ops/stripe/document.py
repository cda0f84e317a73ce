"""Stripe's OpenAPI document, reduced by `make stripe-spec` to what is served here, as JSON Schema."""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema_rs import Draft202012Validator

FILE = Path(__file__).with_name("spec.json.gz")
FORM = "application/x-www-form-urlencoded"
Schema = dict[str, Any]


@cache
def document() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(gzip.decompress(FILE.read_bytes()))
    return read


def operation(method: str, template: str) -> dict[str, Any]:
    found: dict[str, Any] = document()["paths"][template][method.lower()]
    return found


def parameters(method: str, template: str) -> Schema:
    """The request's parameters as one OpenAPI schema of an object, whether they come as query or form."""
    described = operation(method, template)
    if method == "POST":
        body = described.get("requestBody", {}).get("content", {}).get(FORM, {}).get("schema")
        return body or {"type": "object", "properties": {}}
    query = [one for one in described.get("parameters", []) if one["in"] == "query"]
    return {
        "type": "object",
        "properties": {one["name"]: one["schema"] for one in query},
        "required": [one["name"] for one in query if one.get("required")],
    }


@cache
def request_validator(method: str, template: str) -> Draft202012Validator:
    return Draft202012Validator(json_schema(parameters(method, template)))


@cache
def answer_validator(method: str, template: str) -> Draft202012Validator:
    schema = operation(method, template)["responses"]["200"]["content"]["application/json"]["schema"]
    return Draft202012Validator({**json_schema(schema), "$defs": _definitions()})


@cache
def schema_validator(name: str) -> Draft202012Validator:
    """For what has no path of its own: errors, and the objects inside events."""
    return Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": _definitions()})


@cache
def _definitions() -> Schema:
    return {name: json_schema(schema) for name, schema in document()["components"]["schemas"].items()}


def json_schema(schema: Schema) -> Schema:
    """OpenAPI 3.0 as JSON Schema. An object that lists its properties has no others: Stripe refuses unknown
    parameters at every depth, and an answer of ours with a property that Stripe's lacks is a mistake."""
    if "$ref" in schema:
        converted: Schema = {"$ref": schema["$ref"].replace("#/components/schemas/", "#/$defs/")}
    else:
        converted = {name: value for name, value in schema.items() if name not in ("nullable", "format")}
    for name in ("items", "not"):
        if name in converted:
            converted[name] = json_schema(converted[name])
    for name in ("anyOf", "allOf", "oneOf"):
        if name in converted:
            converted[name] = [json_schema(one) for one in converted[name]]
    if isinstance(converted.get("additionalProperties"), dict):
        converted["additionalProperties"] = json_schema(converted["additionalProperties"])
    if "properties" in converted:
        converted["properties"] = {n: json_schema(one) for n, one in converted["properties"].items()}
        # An event's object is of any kind; it is checked by its own schema.
        if converted["properties"]:
            converted.setdefault("additionalProperties", False)
    return {"anyOf": [converted, {"type": "null"}]} if schema.get("nullable") else converted
