"""Every line of an invoice as CSV and JSON, in pieces: there may be many. Pure."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from typing import Any

HEADER = (
    "invoice", "line", "description", "request_id", "processed_at", "project", "key", "model", "kind",
    "region", "tags", "ms", "price", "amount", "waived", "currency", "late",
)  # fmt: skip
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_lines(document: dict[str, Any], streams: Iterable[dict[str, Any]]) -> Iterator[str]:
    """The lines of the invoice (`line` says of what type), then its streams (`line` is `stream`)."""
    out = csv.writer(_Echo(), lineterminator="\r\n")
    yield str(out.writerow(HEADER))
    projects = {project["id"]: project["name"] for project in document.get("summary", {}).get("projects", ())}
    always = {"invoice": document["number"] or "draft", "currency": document["currency"]}
    for line in document["lines"]:
        yield str(out.writerow(_cells({**line, **always, "line": line["type"]})))
    for stream in streams:
        project = projects.get(stream["project"] or "", stream["project"])
        late = "yes" if stream["late"] else "no"
        row = {**stream, **always, "line": "stream", "project": project, "late": late}
        yield str(out.writerow(_cells({**row, "tags": " ".join(stream["tags"])})))


def json_pieces(document: dict[str, Any], streams: Iterable[dict[str, Any]]) -> Iterator[str]:
    """The document with all its streams in it, whether the stored one lists them or not. A credit note has
    none."""
    if document["kind"] == "credit_note":
        yield json.dumps(document, ensure_ascii=False, indent=1) + "\n"
        return
    rest = {name: value for name, value in document.items() if name != "streams"}
    rest["streams_listed"] = True
    yield json.dumps(rest, ensure_ascii=False, indent=1)[:-2]
    yield ',\n "streams": ['
    for i, stream in enumerate(streams):
        yield (",\n  " if i else "\n  ") + json.dumps(stream, ensure_ascii=False)
    yield "\n ]\n}\n"


class _Echo:
    """What `csv` writes to, and gives back."""

    def write(self, line: str) -> str:
        return line


def _cells(row: dict[str, Any]) -> list[str]:
    numbers = ("ms", "amount", "waived")
    return [str(row.get(name, "")) if name in numbers else harmless(row.get(name)) for name in HEADER]


def harmless(value: object) -> str:
    """A spreadsheet would run a text that begins like a formula."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA) else text
