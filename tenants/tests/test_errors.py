"""What the errors say, which goes into messages, headers and documentation as it is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tenants import errors
from tenants.errors import ScopeConflict, TenantsError


def kinds(kind: type[TenantsError] = TenantsError) -> Iterator[type[TenantsError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from kinds(below)


OURS = [kind for kind in kinds() if kind.__module__ == errors.__name__]


@pytest.mark.parametrize("kind", OURS)
def test_a_sentence_is_one_line_and_its_code_a_name(kind: type[TenantsError]) -> None:
    sentence = str(kind())
    assert sentence.isprintable()
    assert "  " not in sentence
    assert sentence.endswith(".")
    assert kind.code.isidentifier()


def test_no_two_have_the_same_code_and_all_have_been_looked_at() -> None:
    assert len({kind.code for kind in OURS}) == len(OURS) > 20
    assert ScopeConflict("Another sentence.").args == ("Another sentence.",)
