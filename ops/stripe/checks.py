"""Every request and every answer against Stripe's document."""

from __future__ import annotations

import re
from typing import Any

from jsonschema_rs import ValidationErrorKind

from ops.stripe import document
from ops.stripe.document import Schema
from ops.stripe.errors import BrokenAnswer, Refusal

WHOLE = re.compile(r"[+-]?\d{1,18}\Z")
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?\Z")


def request(method: str, template: str, raw: dict[str, Any]) -> dict[str, Any]:
    """The parameters with their types, or Stripe's refusal."""
    typed: dict[str, Any] = _typed(raw, document.parameters(method, template), "")
    for error in document.request_validator(method, template).iter_errors(typed):
        raise _refusal(error)
    return typed


def answer(method: str, template: str, body: Any) -> None:
    for error in document.answer_validator(method, template).iter_errors(body):
        raise BrokenAnswer(f"{method} {template}: {_path(error.instance_path)}: {error.message[:600]}")


def named(schema: str, body: Any) -> None:
    for error in document.schema_validator(schema).iter_errors(body):
        raise BrokenAnswer(f"{schema}: {_path(error.instance_path)}: {error.message[:600]}")


def _typed(value: Any, schema: Schema, path: str) -> Any:
    """Strings as what the schema wants; what cannot be is left for the validator, or refused by name."""
    if "anyOf" in schema:
        return _any_of(value, schema["anyOf"], path)
    wanted = schema.get("type")
    if isinstance(value, str):
        return _typed_string(value, wanted, path)
    if isinstance(value, list) and wanted == "array":
        return [_typed(one, schema.get("items", {}), f"{path}[{n}]") for n, one in enumerate(value)]
    if isinstance(value, list) and wanted == "object":
        value = {str(n): one for n, one in enumerate(value)}  # a map whose keys happen to be numbers
    if isinstance(value, dict) and wanted == "object":
        properties, others = schema.get("properties", {}), schema.get("additionalProperties")
        more = others if isinstance(others, dict) else {}
        return {
            name: _typed(one, properties.get(name, more), f"{path}[{name}]" if path else name)
            for name, one in value.items()
        }
    return value


def _typed_string(value: str, wanted: str | None, path: str) -> Any:
    if wanted == "integer":
        if not WHOLE.match(value):
            raise Refusal(
                f"Invalid integer: {value[:100]}", code="parameter_invalid_integer", param=path, keep=False
            )
        return int(value)
    if wanted == "number":
        if not NUMBER.match(value):
            raise Refusal(f"Invalid decimal: {value[:100]}", param=path, keep=False)
        return float(value)
    if wanted == "boolean":
        if value not in ("true", "false"):
            raise Refusal(f"Invalid boolean: {value[:100]}", param=path, keep=False)
        return value == "true"
    if value == "" and wanted in ("array", "object"):
        return [] if wanted == "array" else {}
    return value


def _any_of(value: Any, options: list[Schema], path: str) -> Any:
    shape: dict[type, tuple[str, ...]] = {
        str: ("string", "integer", "number", "boolean"),
        dict: ("object",),
        list: ("array", "object"),
    }
    for option in options:
        if value == "" and option.get("enum") == [""]:
            return ""
    refusal: Refusal | None = None
    # An integer before a string: "now" falls through to the enumeration after it.
    for option in sorted(options, key=lambda one: one.get("type") == "string"):
        if "anyOf" not in option and option.get("type") not in shape[type(value)]:
            continue
        try:
            return _typed(value, option, path)
        except Refusal as error:
            refusal = error
    if refusal:
        raise refusal
    return value


def _refusal(error: Any) -> Refusal:
    kind, path = error.kind, _path(error.instance_path)
    if isinstance(kind, ValidationErrorKind.AdditionalProperties):
        name = _within(path, kind.unexpected[0])
        return Refusal(
            f"Received unknown parameter: {name}", code="parameter_unknown", param=name, keep=False
        )
    if isinstance(kind, ValidationErrorKind.Required):
        name = _within(path, str(kind.property))
        return Refusal(f"Missing required param: {name}.", code="parameter_missing", param=name, keep=False)
    if isinstance(kind, ValidationErrorKind.Enum):
        return Refusal(f"Invalid {path}: {error.message[:300]}", param=path, keep=False)
    if isinstance(kind, ValidationErrorKind.MaxLength):
        return Refusal(f"Invalid string: {path} is too long; {error.message[-60:]}", param=path, keep=False)
    if isinstance(kind, ValidationErrorKind.AnyOf) and kind.context:
        inner = [one for option in kind.context for one in option]
        named = [one for one in inner if isinstance(one.kind, ValidationErrorKind.AdditionalProperties)]
        for one in named or [one for one in inner if len(one.instance_path) > len(error.instance_path)]:
            return _refusal(one)
    return Refusal(f"Invalid {path}: {error.message[:300]}", param=path, keep=False)


def _path(parts: list[Any]) -> str:
    return "".join(str(part) if n == 0 else f"[{part}]" for n, part in enumerate(parts))


def _within(path: str, name: str) -> str:
    return f"{path}[{name}]" if path else name
