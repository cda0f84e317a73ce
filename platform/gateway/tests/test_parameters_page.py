from __future__ import annotations

from pathlib import Path

from gateway import region_query
from gateway.described import DESCRIBED
from gateway.parameters import parse
from gateway.parameters_page import EXAMPLES, page

PAGE = Path(__file__).parents[3] / "docs" / "parameters.md"


def test_the_page_is_not_stale() -> None:
    assert PAGE.read_text() == page(), "run `make docs`"


def test_the_page_has_what_every_protocol_understands() -> None:
    for parameter in region_query.DESCRIBED:
        assert f"| `{parameter.name}` | {parameter.means} |" in page()


def test_every_parameter_has_an_example_that_is_about_it() -> None:
    assert list(EXAMPLES) == [parameter.name for parameter in DESCRIBED]
    for name, example in EXAMPLES.items():
        assert name in example
        assert parse(example.encode()) != parse(b"") or name in ("callback_method", "version", "keyterm")
