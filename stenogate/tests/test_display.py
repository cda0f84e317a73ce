from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stenogate.display import CLEAR_LINE, Display, cells, printable, tail


@pytest.fixture
def columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("LINES", "5")


def test_a_terminal_sees_the_line_grow_and_then_stand(columns: None) -> None:
    out = io.StringIO()
    display = Display(out, live=True)
    display.partial("it was")
    display.partial("it was the best of times it was")
    display.final("It was the best of times.")
    assert out.getvalue() == (
        f"{CLEAR_LINE}it was{CLEAR_LINE}…st of times it was{CLEAR_LINE}It was the best of times.\n"
    )


def test_a_pipe_sees_finals_only() -> None:
    out = io.StringIO()
    display = Display(out, live=False)
    display.partial("it")
    display.final("It.")
    display.final("")
    display.clear()
    assert out.getvalue() == "It.\n"


def test_an_unfinished_partial_is_cleared() -> None:
    out = io.StringIO()
    display = Display(out, live=True)
    display.partial("it")
    display.clear()
    display.clear()
    assert out.getvalue() == f"{CLEAR_LINE}it{CLEAR_LINE}"


def test_a_transcript_cannot_steer_the_terminal() -> None:
    assert printable("a\x1b[2Jb\nc\r\x07") == "a [2Jb c"


def test_wide_and_combining_characters_are_counted_as_shown() -> None:
    assert cells("日本") == 4
    assert cells("e\u0301") == 1


@given(st.text(), st.integers(0, 30))
def test_a_tail_always_fits_and_is_the_end(text: str, width: int) -> None:
    cut = tail(text, width)
    assert cells(cut) <= width
    assert text.endswith(cut.removeprefix("…"))
