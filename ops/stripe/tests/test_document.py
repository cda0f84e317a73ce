from ops.stripe import document


def test_null_is_allowed_where_the_document_says_nullable():
    schema = {"type": "string", "nullable": True, "maxLength": 2}
    assert document.json_schema(schema) == {"anyOf": [{"type": "string", "maxLength": 2}, {"type": "null"}]}


def test_objects_are_closed_unless_they_are_maps():
    assert document.json_schema({"type": "object", "properties": {"a": {}}})["additionalProperties"] is False
    assert "additionalProperties" not in document.json_schema({"type": "object", "properties": {}})
    text = document.json_schema(
        {"type": "object", "additionalProperties": {"type": "string", "nullable": True}}
    )
    assert text["additionalProperties"] == {"anyOf": [{"type": "string"}, {"type": "null"}]}


def test_a_property_may_be_called_nullable():
    found = document.json_schema({"type": "object", "properties": {"nullable": {"type": "boolean"}}})
    assert found["properties"] == {"nullable": {"type": "boolean"}}


def test_it_says_where_it_is_from():
    source = document.document()["source"]
    assert source["package"] == "seahaven-stripe-world==0.3.0"
    assert len(source["sha256"]) == 64
    assert "Stripe, Inc." in source["licence"]
    assert "WITHOUT WARRANTY" in source["licence"]
