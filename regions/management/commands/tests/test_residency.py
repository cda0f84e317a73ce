from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from regions import services

pytestmark = pytest.mark.django_db


def residency(*arguments: str) -> str:
    out = StringIO()
    call_command("residency", *arguments, stdout=out)
    return out.getvalue().strip()


@pytest.fixture(autouse=True)
def regions(db) -> None:
    for name in ("eu", "us"):
        services.add_region(name, actor="test")


def test_of_a_tenant_and_of_a_key(acme) -> None:
    assert residency("acme") == "acme: any region."
    assert residency("acme", "--rule", "allowed", "--allow", "eu, us", "--home", "eu") == (
        "acme: eu, us, first eu."
    )
    prefix = f"sk_{acme.key.prefix}"
    assert residency("acme", "--key", prefix, "--rule", "allowed", "--allow", "us").endswith(": us.")
    assert residency("acme", "--key", prefix, "--rule", "inherit").endswith(": eu, us, first eu.")
    assert residency("acme", "--rule", "home", "--home", "eu") == "acme: eu, first eu."
    assert residency("acme", "--key", acme.secret) == f"{acme.key}: eu, first eu."


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nobody"], "There is no tenant 'nobody'"),
        (["acme", "--key", "sk_xxx"], "acme has no key that begins with sk_xxx"),
        (["acme", "--home", "eu"], "give --rule, too"),
        (["acme", "--rule", "home"], "The rule home needs a home region"),
        (["acme", "--rule", "inherit"], "The rule is one of any, allowed, home"),
        (["acme", "--rule", "home", "--home", "mars"], "There is no region 'mars'. There are: eu, us."),
        (["acme", "--rule", "sometimes"], "invalid choice: 'sometimes'"),
    ],
)
def test_what_it_refuses(acme, words: list[str], said: str) -> None:
    with pytest.raises(CommandError, match=f"(?s).*{said}"):
        residency(*words)


def test_another_tenants_key_is_none_of_its(acme, rival) -> None:
    with pytest.raises(CommandError, match="acme has no key"):
        residency("acme", "--key", rival.secret)
