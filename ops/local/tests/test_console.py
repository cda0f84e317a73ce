from io import BytesIO, StringIO, TextIOWrapper

from ops.local.console import Console


class Terminal(StringIO):
    encoding = "UTF-8"

    def isatty(self):
        return True


def test_what_is_being_done_is_said_to_a_terminal_and_gone_with_the_next_line():
    out = Terminal()
    console = Console(out)
    console.doing("waiting")
    console.done("gateway", "http://127.0.0.1:8000", 1.25)
    assert out.getvalue() == (
        "\r\x1b[K  … waiting\r\x1b[K  ✓ gateway     http://127.0.0.1:8000" + " " * 34 + "1.2 s\n"
    )


def test_a_file_gets_lines_only():
    out = StringIO()
    console = Console(out)
    console.doing("waiting")
    console.line("done")
    assert out.getvalue() == "done\n"


def test_a_terminal_that_knows_ascii_only_gets_ascii():
    raw = BytesIO()
    console = Console(TextIOWrapper(raw, encoding="ascii"))
    console.done("gateway", "ready", 1)
    assert raw.getvalue().startswith(b"  + gateway     ready")


def test_a_terminal_that_is_gone_stops_nobody():
    out = StringIO()
    console = Console(out)
    out.close()
    console.line("still here")
