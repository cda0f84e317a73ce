from __future__ import annotations

import pytest
from django.db import connection

from metering.payments import locks


def taken(kind: int, key: str) -> bool:
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s, hashtext(%s))", [kind, key])
            return not cursor.fetchone()[0]
    finally:
        other.close()


def test_it_is_held_for_its_length_and_for_its_key_alone(db: None) -> None:
    with locks.alone(locks.SPEAKING, "acme") as mine:
        assert mine
        assert taken(locks.SPEAKING, "acme")
        assert not taken(locks.SPEAKING, "rival")
        assert not taken(locks.ASKING, "acme")
    assert not taken(locks.SPEAKING, "acme")


def test_it_is_let_go_after_an_error(db: None) -> None:
    def fail() -> None:
        with locks.alone(locks.ASKING, "acme", wait=True) as mine:
            assert mine
            raise ValueError("away")

    with pytest.raises(ValueError, match="away"):
        fail()
    assert not taken(locks.ASKING, "acme")


def test_whoever_does_not_wait_is_told(db: None) -> None:
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s, hashtext(%s))", [locks.SPEAKING, "acme"])
        with locks.alone(locks.SPEAKING, "acme") as mine:
            assert not mine
    finally:
        other.close()
