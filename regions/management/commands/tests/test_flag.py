from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from regions import services

pytestmark = pytest.mark.django_db


def flag(*arguments: str) -> str:
    out = StringIO()
    call_command("flag", *arguments, stdout=out)
    return out.getvalue().strip()


def test_flags_are_listed_with_where_they_are_set(acme) -> None:
    services.add_region("eu", actor="test")
    assert flag("recorded", "off") == "recorded is off for all (configuration 2)."
    assert flag("recorded", "on", "--region", "eu") == "recorded is on for eu (configuration 3)."
    flag("recorded", "off", "--tenant", "acme")
    flag("recorded", "clear")
    assert flag().splitlines() == [
        "resume  on unless set: streams can be resumed, and are moved when a region drains",
        "recorded  on unless set: recorded audio is taken",
        "  off for acme",
        "  on for eu",
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rekorded", "on"], "There is no flag 'rekorded'. There are: resume, recorded."),
        (["recorded"], "on, off or clear"),
        (["recorded", "maybe"], "invalid choice: 'maybe'"),
        (["recorded", "on", "--region", "mars"], "There is no region 'mars'"),
        (["recorded", "on", "--tenant", "nobody"], "There is no tenant 'nobody'"),
        (["recorded", "on", "--tenant", "acme", "--region", "eu"], "not for a region and a tenant together"),
    ],
)
def test_what_it_refuses(acme, words: list[str], said: str) -> None:
    with pytest.raises(CommandError, match=f"(?s).*{said}"):
        flag(*words)
