from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.body_errors import BadBody, UnsupportedBody
from gateway.recorded.forms import MAX_FIELD_BYTES, MAX_PARTS, Form

KIND = 'multipart/form-data; boundary="x-y"'
AUDIO = b"RIFF\r\n--x-\r\n\x00\xff--x-z"


def part(name: str, value: bytes, *, extra: str = "") -> bytes:
    return f'--x-y\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n\r\n'.encode() + value + b"\r\n"


WHOLE = (
    part("model", b"whisper-1")
    + part("timestamp_granularities[]", b"word")
    + part("file", AUDIO, extra='; filename="a.wav"')
    + part("timestamp_granularities[]", b"segment")
    + part("nobody_knows", b"x" * 100)
    + b"--x-y--\r\n"
)


def read(*pieces: bytes, kind: str = KIND) -> tuple[Form, bytes]:
    audio = bytearray()
    form = Form(kind, ["model", "timestamp_granularities"], audio.extend)
    for piece in pieces:
        form.feed(piece)
    form.finish()
    return form, bytes(audio)


@given(st.lists(st.integers(1, len(WHOLE) - 1), max_size=20))
def test_any_split_of_the_body_is_the_same_form(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(WHOLE)]
    form, audio = read(*(WHOLE[a:b] for a, b in pairwise(edges)))
    assert audio == AUDIO
    assert form.fields == {"model": ["whisper-1"], "timestamp_granularities": ["word", "segment"]}


@pytest.mark.parametrize(
    "kind", ["", "audio/wav", "application/x-www-form-urlencoded", "multipart/form-data"]
)
def test_what_is_no_form_is_refused_before_its_body_is_read(kind: str) -> None:
    with pytest.raises(UnsupportedBody, match="multipart/form-data"):
        Form(kind, [], lambda data: None)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (WHOLE[:-5], "before its last boundary"),
        (part("model", b"m") + b"--x-y--\r\n", "no part named file"),
        (part("file", b"a") + part("file", b"b") + b"--x-y--\r\n", "more than one part named file"),
        (part("model", b"m" * (MAX_FIELD_BYTES + 1)) + b"--x-y--\r\n", "fields are more than"),
        (part("model", b"\xff") + b"--x-y--\r\n", "not UTF-8"),
        (part("a", b"") * (MAX_PARTS + 1), "more than 200 parts"),
        (b"RIFF and no form at all", "not well-formed"),
        (b"--x-y\r\n" + b"A: b\r\n" * 100, "not well-formed"),
        (b"--x-y\r\nA: " + b"b" * 100_000, "not well-formed"),
    ],
)
def test_what_is_wrong_with_a_form_is_said(body: bytes, why: str) -> None:
    with pytest.raises(BadBody, match=why):
        read(body)


def test_a_boundary_is_not_as_long_as_one_likes() -> None:
    with pytest.raises(BadBody, match="boundary"):
        read(b"", kind="multipart/form-data; boundary=" + "x" * 5000)
