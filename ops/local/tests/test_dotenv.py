import pytest

from ops.local import dotenv


def read(tmp_path, text):
    path = tmp_path / ".env"
    path.write_text(text)
    return dotenv.read(path)


def test_no_file_says_nothing(tmp_path):
    assert dotenv.read(tmp_path / ".env") == {}


def test_what_a_line_may_look_like(tmp_path):
    text = """\ufeff# a comment

GATEWAY_PORT=8001
export REGION = eu-1   # where we are
SECRET_KEY='a # b " c'
LOG_LEVEL="INFO"  # loud
REDIS_URL=redis://:p#ss@h
EMPTY=
"""
    assert read(tmp_path, text) == {
        "GATEWAY_PORT": "8001",
        "REGION": "eu-1",
        "SECRET_KEY": 'a # b " c',
        "LOG_LEVEL": "INFO",
        "REDIS_URL": "redis://:p#ss@h",
        "EMPTY": "",
    }


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("A=1\nhunter2\n", "line 2: not NAME=VALUE"),
        ("1A=hunter2", "line 1: not NAME=VALUE"),
        ("A='hunter2", "line 1: the quote that A opens is not closed"),
        ('A="hunter2" more', "line 1: the quote"),
        ("A=1\nA=hunter2", "line 2: A is set a second time"),
    ],
)
def test_a_mistake_names_the_line_and_not_the_value(tmp_path, text, because):
    with pytest.raises(dotenv.DotenvError, match=because) as refusal:
        read(tmp_path, text)
    assert "hunter2" not in str(refusal.value)


def test_a_file_that_is_no_text(tmp_path):
    (tmp_path / ".env").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(dotenv.DotenvError, match="cannot be read"):
        dotenv.read(tmp_path / ".env")
