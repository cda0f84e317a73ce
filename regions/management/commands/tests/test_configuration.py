from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from regions import services

pytestmark = pytest.mark.django_db


def configuration(*arguments: str) -> str:
    out = StringIO()
    call_command("configuration", *arguments, stdout=out)
    return out.getvalue().strip()


def test_the_newest_changes_the_last_one_last() -> None:
    assert configuration() == "Nothing has been configured yet."
    for name in ("eu", "us", "ap"):
        services.add_region(name, actor="ada at a terminal")
    lines = [line.split("  ") for line in configuration("--last", "2").splitlines()]
    assert [(line[0], *line[2:5]) for line in lines] == [
        ("2", "ada at a terminal", "region.added", "us"),
        ("3", "ada at a terminal", "region.added", "ap"),
    ]
    with pytest.raises(CommandError, match="from 1 to"):
        configuration("--last", "0")
