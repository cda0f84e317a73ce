"""A document in the format that a file's suffix names, piece by piece."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from metering.invoices.export import csv_lines, json_pieces
from metering.invoices.render_html import render_html

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".pdf": "application/pdf",
    ".csv": "text/csv; charset=utf-8",
    ".json": "application/json",
}
SUFFIXES = ", ".join(TYPES)


def pieces(
    suffix: str, document: dict[str, Any], streams: Iterable[dict[str, Any]], paper: str = "a4"
) -> Iterator[bytes]:
    match suffix:
        case ".html":
            yield render_html(document).encode()
        case ".pdf":
            # Here, because it takes a quarter of a second that every process would wait for as it starts.
            from metering.invoices.render_pdf import render_pdf

            yield render_pdf(document, paper)
        case ".csv":
            yield from (line.encode() for line in csv_lines(document, streams))
        case ".json":
            yield from (piece.encode() for piece in json_pieces(document, streams))
        case _:
            raise ValueError(f"{suffix} is none of {SUFFIXES}")
