from __future__ import annotations

import random

import pytest
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from ops.chaos import wires
from ops.chaos.clients import _close_in


def parsed(data: bytes) -> Frame:
    """As a server that keeps to the rules reads it."""
    reader = StreamReader()
    reader.feed_data(data)
    parser = Frame.parse(reader.read_exact, mask=True, max_size=1 << 20)
    try:
        next(parser)
    except StopIteration as done:
        frame: Frame = done.value
        return frame
    raise EOFError


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
def test_a_frame_is_what_others_take_for_one(size: int) -> None:
    frame = parsed(wires.frame(wires.BINARY, bytes(size)))
    assert (frame.opcode, len(frame.data)) == (Opcode.BINARY, size)


def test_bad_text_and_bad_audio_are_good_frames_and_broken_frames_are_none() -> None:
    rng = random.Random(1)
    for _ in range(50):
        assert parsed(wires.text_that_is_none(rng)).opcode is Opcode.TEXT
        assert len(parsed(wires.audio_that_is_none(rng)).data) % 2 == 1
    kinds = {wires.broken_frame(rng)[:2] for _ in range(200)}
    assert len(kinds) >= 7


def test_the_close_frame_is_found_behind_others() -> None:
    message = bytes((0x81, 126)) + (300).to_bytes(2, "big") + b"x" * 300
    close = bytes((0x88, 10)) + (1011).to_bytes(2, "big") + b"NET-0001"
    assert _close_in(message * 3 + close) == (1011, "NET-0001")
    assert _close_in(message * 3 + close[:5]) is None
    assert _close_in(b"") is None
