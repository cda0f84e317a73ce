from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

from tests.benchmarks.sweep_plot import HEIGHT, LEFT, TOP, WIDTH, svg
from tests.benchmarks.sweep_report import Slo

NAME = "{http://www.w3.org/2000/svg}"


def row(chunk_ms: int, wait: str, streams: int, first: float | None, slo: str = "pass") -> dict[str, Any]:
    return {
        "chunk_ms": chunk_ms,
        "wait_ms": wait,
        "streams": streams,
        "ttft_p95_ms": first,
        "slo": slo,
    }


def drawn(*rows: dict[str, Any]) -> ElementTree.Element:
    return ElementTree.fromstring(svg(rows, Slo(), "a <chip> & more"))


def test_a_point_is_where_its_figures_are_and_hollow_where_it_fails() -> None:
    picture = drawn(row(160, "5", 1, 0.0), row(160, "5", 64, 345.0, slo="fail"))
    first, last = picture.iter(f"{NAME}circle")
    assert (float(first.get("cx", 0)), float(first.get("cy", 0))) == (LEFT, TOP + HEIGHT)
    # The top is 15 % above the highest of all, which is 345.
    assert float(last.get("cx", 0)) == LEFT + WIDTH
    assert abs(float(last.get("cy", 0)) - (TOP + HEIGHT * (1 - 1 / 1.15))) < 0.1
    assert first.get("fill") == first.get("stroke")
    assert last.get("fill") == "white"


def test_each_chunk_has_a_panel_and_each_wait_a_colour() -> None:
    picture = drawn(
        *(row(chunk, wait, n, 50.0) for chunk in (80, 160) for wait in ("5", "9") for n in (1, 8))
    )
    assert len(list(picture.iter(f"{NAME}polyline"))) == 4
    assert len({one.get("stroke") for one in picture.iter(f"{NAME}polyline")}) == 2
    said = [one.text for one in picture.iter(f"{NAME}text")]
    assert {"chunk 80 ms", "chunk 160 ms", "wait 5", "wait 9"} <= set(said)
    assert any(str(one).startswith("a <chip> & more: time to first token p95") for one in said)


def test_what_was_not_measured_is_not_drawn() -> None:
    assert list(drawn(row(160, "5", 8, None, slo="skipped")).iter(f"{NAME}circle")) == []
    drawn()
