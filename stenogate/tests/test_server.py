from __future__ import annotations

import json
from pathlib import Path

import pytest

from stenogate.errors import UsageError
from stenogate.server import Server, find, listen_url, param, with_query


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    path = tmp_path / "demo.json"
    path.write_text(
        json.dumps({"ws_url": "ws://127.0.0.1:8000", "api_key": "demo-key", "pids": {"daphne": 1}})
    )
    return path


def test_flags_win_over_the_environment_and_that_over_the_demo(demo: Path) -> None:
    environ = {"STENOGATE_URL": "https://env", "STENOGATE_KEY": "env-key"}
    assert find("ws://flag", "flag-key", environ, demo) == Server("ws://flag/v1/listen", "flag-key")
    assert find(None, None, environ, demo) == Server("wss://env/v1/listen", "env-key")
    assert find(None, None, {}, demo) == Server("ws://127.0.0.1:8000/v1/listen", "demo-key")
    assert find(None, "flag-key", {}, demo) == Server("ws://127.0.0.1:8000/v1/listen", "flag-key")


def test_the_demo_key_is_sent_to_the_demo_only(demo: Path) -> None:
    assert find("http://127.0.0.1:8000", None, {}, demo).key == "demo-key"
    with pytest.raises(UsageError, match=r"no key for wss://elsewhere/v1/listen.*STENOGATE_KEY"):
        find("wss://elsewhere", None, {}, demo)


def test_with_nothing_to_go_by_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Start a demo server with 'make run'"):
        find(None, None, {}, tmp_path / "demo.json")


@pytest.mark.parametrize("content", ["{", "[]", "\x00"])
def test_a_spoilt_demo_file_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "demo.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=r"demo\.json"):
        find(None, None, {}, path)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("http://h:1", "ws://h:1/v1/listen"),
        ("wss://h/", "wss://h/v1/listen"),
        ("ws://h/v1/listen", "ws://h/v1/listen"),
        ("https://h/stt", "wss://h/stt/v1/listen"),
    ],
)
def test_addresses_may_be_given_in_several_ways(given: str, expected: str) -> None:
    assert listen_url(given) == expected


@pytest.mark.parametrize("given", ["h:8000", "ftp://h", "ws://", "ws://h:notaport", "ws://h:99999"])
def test_what_is_no_address_is_refused(given: str) -> None:
    with pytest.raises(UsageError, match="is not an address like"):
        listen_url(given)


def test_the_key_is_not_shown_by_accident() -> None:
    assert "secret" not in repr(Server("ws://h/v1/listen", "secret"))


def test_parameters() -> None:
    assert param("keyterm=a b+c") == ("keyterm", "a b+c")
    assert param("tag=") == ("tag", "")
    with pytest.raises(ValueError, match="tag"):
        param("tag")
    assert with_query(Server("ws://h/v1/listen", "k"), {"a": "b c"}) == "ws://h/v1/listen?a=b+c"
