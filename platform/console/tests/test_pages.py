from __future__ import annotations

from django.test import Client
from django.urls import resolve


def test_the_address_itself_says_where_to_go() -> None:
    answer = Client().get("/")
    assert answer.status_code == 200
    assert "/v1/listen" in answer.text
    for path in ("/healthz", "/admin/"):
        assert path in answer.text
        resolve(path)
