from __future__ import annotations

from gateway.errors import BadParameter, GatewayError
from gateway.problem import body


def test_both_shapes_say_the_same() -> None:
    said = body(BadParameter("limit: too much."), "id")
    assert said["category"] == said["err_code"] == "bad_parameter"
    assert said["request_id"] == "id"
    assert said["message"] == BadParameter().sentence
    assert said["details"] == "limit: too much."
    assert said["err_msg"] == f"{said['message']} {said['details']}"
    assert body(GatewayError(), "id")["details"] == "The request cannot be served."
