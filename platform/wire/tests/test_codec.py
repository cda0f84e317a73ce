from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire import codec
from wire.messages import (
    WIRE_VERSION,
    Abort,
    Audio,
    End,
    Ended,
    Envelope,
    Failed,
    Final,
    Flush,
    Flushed,
    Heartbeat,
    Open,
    Opened,
    Partial,
    Progress,
    Refused,
    SpeechStarted,
    StreamOptions,
    Word,
    WorkerState,
)

WORDS = (Word("times.", 120, 480, 0.93), Word("naïve", 500, 700, 0.5))
EVERY_ITEM = (
    Open(
        stream="s",
        epoch=1,
        tenant="t",
        options=StreamOptions(
            model="m", interim_results=True, endpointing_ms=0, keyterms=("one", "two"), recorded=True
        ),
        start=16_000,
    ),
    Audio(stream="s", epoch=1, position=3200, pcm=bytes(range(256))),
    Flush(stream="s", epoch=1, token=7),
    End(stream="s", epoch=1),
    Abort(stream="s", epoch=1),
    Opened(stream="s", epoch=1, worker="w", model="m", version="1", arch="a"),
    Refused(stream="s", epoch=1, code="no_capacity", retry_after_s=2.5),
    Partial(stream="s", epoch=1, start_ms=0, end_ms=700, words=WORDS, stability=0.5),
    Final(stream="s", epoch=1, index=0, start_ms=0, end_ms=700, words=WORDS, speech_final=True),
    SpeechStarted(stream="s", epoch=1, at_ms=120),
    Flushed(stream="s", epoch=1, token=7),
    Progress(stream="s", epoch=1, processed=3200, confirmed=1600),
    Ended(stream="s", epoch=1, processed=3200),
    Failed(stream="s", epoch=1, code="engine_failed", processed=3200),
)
HEARTBEAT = Heartbeat(
    worker="w",
    address="stenoworker.1",
    region="eu-1",
    state=WorkerState.DRAINING,
    engine="scripted",
    model="m",
    languages=("en",),
    capacity=64,
    active=3,
    step_p95_ms=1.5,
    queue_p95_ms=0.5,
)


def test_an_envelope_with_every_kind_of_item_comes_back_as_it_was() -> None:
    envelope = Envelope(sender="stenogateway.1", link=3, seq=9, ack=8, broken=True, items=EVERY_ITEM)
    assert codec.decode(codec.encode_envelope(envelope)) == envelope


def test_a_heartbeat_comes_back_as_it_was() -> None:
    assert codec.decode(codec.encode_heartbeat(HEARTBEAT)) == HEARTBEAT


def test_audio_is_carried_as_it_is_with_little_around_it() -> None:
    audio = Audio(stream="0" * 36, epoch=1, position=1 << 30, pcm=b"\x7f" * 3200)
    data = codec.encode_envelope(Envelope(sender="g" * 40, seq=1, items=(audio,)))["data"]
    assert isinstance(data, bytes)
    assert len(data) < 3200 + 200


@pytest.mark.parametrize(
    "message",
    [
        None,
        b"bytes",
        {},
        {"type": codec.ENVELOPE},
        {"type": codec.ENVELOPE, "data": "text"},
        {"type": codec.ENVELOPE, "data": b""},
        {"type": codec.ENVELOPE, "data": b"\xc1"},
        {"type": codec.HEARTBEAT, "data": codec.encode_envelope(Envelope(sender="g"))["data"]},
        {"type": "chat.message", "data": b""},
        {"type": None, "data": b""},
    ],
)
def test_what_does_not_fit_is_a_wire_error(message: object) -> None:
    with pytest.raises(codec.WireError):
        codec.decode(message)


@given(st.binary(max_size=200), st.sampled_from([codec.ENVELOPE, codec.HEARTBEAT]))
def test_no_bytes_surprise_the_decoder(data: bytes, kind: str) -> None:
    try:
        decoded = codec.decode({"type": kind, "data": data})
    except codec.WireError:
        return
    assert isinstance(decoded, Envelope | Heartbeat)


def test_another_version_is_refused_by_name() -> None:
    message = codec.encode_envelope(Envelope(version=WIRE_VERSION + 1, sender="g"))
    with pytest.raises(codec.WireError, match=f"version {WIRE_VERSION + 1}"):
        codec.decode(message)


def test_the_error_does_not_repeat_what_was_said() -> None:
    final = msgspec.to_builtins(EVERY_ITEM[8]) | {"words": [["secret", "secret", 1, 1.0]]}
    data = msgspec.msgpack.encode({"sender": "g", "items": [final]})
    with pytest.raises(codec.WireError) as caught:
        codec.decode({"type": codec.ENVELOPE, "data": data})
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_field_of_a_later_release_is_passed_over() -> None:
    data = msgspec.msgpack.encode({"version": WIRE_VERSION, "sender": "g", "seq": 4, "colour": "blue"})
    assert codec.decode({"type": codec.ENVELOPE, "data": data}) == Envelope(sender="g", seq=4)
