from __future__ import annotations

from dataclasses import fields

import pytest

from gateway import query
from gateway.described import DESCRIBED, WITHOUT_EFFECT
from gateway.errors import BadParameter
from gateway.parameters import ListenParameters
from gateway.query import Parameter

KNOWN = {field.name for field in fields(ListenParameters)}


def test_every_parameter_has_a_field_and_every_field_a_parameter() -> None:
    described = {parameter.field for parameter in DESCRIBED}
    assert described - KNOWN == {"keywords"}
    assert KNOWN - described == {"recorded"}


def test_names_are_given_once() -> None:
    names = [*(parameter.name for parameter in DESCRIBED), *WITHOUT_EFFECT]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("parameter", DESCRIBED, ids=lambda parameter: parameter.name)
def test_what_is_not_allowed_is_said_with_what_is(parameter: Parameter) -> None:
    with pytest.raises(BadParameter) as refused:
        query.read([parameter], {parameter.name: ["\x00" * 3]})
    assert parameter.name in refused.value.sentence
    assert parameter.allowed in refused.value.sentence


@pytest.mark.parametrize("parameter", DESCRIBED, ids=lambda parameter: parameter.name)
def test_what_the_schema_lists_is_read(parameter: Parameter) -> None:
    for value in parameter.schema.get("enum", ()):  # type: ignore[attr-defined]
        parameter.read([str(value)])
    for bound in ("minimum", "maximum"):
        if bound in parameter.schema:
            assert parameter.read([str(parameter.schema[bound])]) == parameter.schema[bound]
