from __future__ import annotations

import psycopg
import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.db import OperationalError
from django.test import Client
from django.urls import resolve


def test_the_address_itself_says_where_to_go() -> None:
    answer = Client().get("/")
    assert answer.status_code == 200
    assert "/v1/listen" in answer.text
    for path in ("/healthz", "/admin/"):
        assert path in answer.text
        resolve(path)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("cause", "status"),
    [
        (psycopg.OperationalError("refused at 10.0.0.1"), 503),
        (psycopg.errors.UndefinedTable("10.0.0.1"), 500),
    ],
)
def test_without_the_database_the_console_says_so(
    cause: Exception, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(self: SessionStore) -> None:
        raise OperationalError("at 10.0.0.1") from cause

    monkeypatch.setattr(SessionStore, "load", load)
    client = Client(raise_request_exception=False)
    client.cookies["sessionid"] = "somebody"
    answer = client.get("/admin/")
    assert answer.status_code == status
    assert ("control database" in answer.text) is (status == 503)
    assert answer.headers.get("Retry-After") == ("5" if status == 503 else None)
    assert "10.0.0.1" not in answer.text
