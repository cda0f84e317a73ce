from __future__ import annotations

import io
import re
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from config import env
from metering.models import SigningKey
from metering.receipts import keys
from metering.receipts.errors import KeyNameTaken, NoReceiptKey


def test_a_key_that_was_made_is_one_that_is_taken():
    [(name, seed)] = env.RECEIPT_KEYS.read({"RECEIPT_KEYS": keys.make("2026-11")})
    assert (name, len(seed)) == ("2026-11", 32)
    assert keys.make("a") != keys.make("a")


def test_the_first_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECEIPT_KEYS", f"{keys.make('new')},{keys.make('old')}")
    assert keys.in_use().name == "new"
    monkeypatch.setenv("RECEIPT_KEYS", "")
    with pytest.raises(NoReceiptKey):
        keys.in_use()


def test_public_halves_stay_when_others_follow(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    old = keys.make("old")
    monkeypatch.setenv("RECEIPT_KEYS", old)
    keys.publish()
    keys.publish()
    monkeypatch.setenv("RECEIPT_KEYS", f"{keys.make('new')},{old}")
    keys.publish()
    found = {one["kid"]: one for one in keys.published()}
    assert list(found) == ["old", "new"]
    assert found["old"]["retired_at"] is not None
    assert found["new"]["retired_at"] is None
    assert found["old"]["x"] != found["new"]["x"]
    # No private half leaves the environment.
    assert set(found["old"]) == {"kty", "crv", "use", "kid", "x", "first_seen_at", "retired_at"}


def test_a_name_is_one_key_for_ever(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECEIPT_KEYS", keys.make("2026-11"))
    keys.publish()
    monkeypatch.setenv("RECEIPT_KEYS", keys.make("2026-11"))
    with pytest.raises(KeyNameTaken, match="2026-11"):
        keys.publish()
    assert SigningKey.objects.count() == 1


def made(*options: str) -> str:
    out = io.StringIO()
    call_command("receipt_key", *options, stdout=out)
    return out.getvalue().strip()


def test_the_command_prints_the_line_with_the_new_key_in_front(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECEIPT_KEYS", "")
    first = made()
    assert re.fullmatch(r"RECEIPT_KEYS=\d{4}-\d{2}:[A-Za-z0-9_-]{43}", first)
    monkeypatch.setenv("RECEIPT_KEYS", first.partition("=")[2])
    second = made("--name", "next")
    assert second.startswith("RECEIPT_KEYS=next:")
    assert second.endswith(f",{first.partition('=')[2]}")


@pytest.mark.parametrize("name", ["two words", "x" * 65, "a:b", "2026-11"])
def test_the_command_refuses_a_name_that_cannot_be(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECEIPT_KEYS", keys.make("2026-11"))
    with pytest.raises(CommandError, match="name"):
        made("--name", name)


def test_whoever_reads_the_published_keys_needs_no_tenant(acme: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECEIPT_KEYS", keys.make("2026-11"))
    keys.publish()
    assert [one["kid"] for one in keys.published()] == ["2026-11"]
