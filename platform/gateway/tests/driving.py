"""A session, and the little that a stream does for it, by hand."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from gateway.audio.base import AudioFormat, Decoder
from gateway.audio.decoders import decoder
from gateway.events import (
    CloseStream,
)
from gateway.lane import Lane
from gateway.session import Features, Limits, Session
from wire.messages import (
    Final,
    Partial,
    ToWorker,
    Word,
)

LIMITS = Limits(idle_s=10, max_s=3600, window_s=20, usage_every_s=5)
SECOND = b"\x01\x00" * 16_000


def session(rate: int = 16_000, *, interim: bool = True, limits: Limits = LIMITS) -> Session:
    s = Session(
        lanes=(Lane("s"),),
        limits=limits,
        features=Features(interim_results=interim, vad_events=True),
        now=0.0,
    )
    decoders[s] = decoder(AudioFormat("linear16", rate))
    return s


decoders: WeakKeyDictionary[Session, Decoder] = WeakKeyDictionary()


def hear(s: Session, data: bytes, now: float = 0) -> None:
    """What a stream does with bytes that have come."""
    s.receive_bytes(data, now)
    for pcm in decoders[s].feed(data):
        s.receive_audio(pcm, decoders[s].input_ms)


def close_stream(s: Session, now: float = 0) -> None:
    for pcm in decoders[s].finish():
        s.receive_audio(pcm, decoders[s].input_ms)
    s.receive(CloseStream(), now)


def to_worker(s: Session) -> list[ToWorker]:
    return [item for lane in s.lanes for item in lane.items_to_send()]


def words(text: str) -> tuple[Word, ...]:
    return tuple(Word(w, i * 100, i * 100 + 90, 0.9) for i, w in enumerate(text.split()))


def final(index: int, text: str = "hi", *, speech_final: bool = False) -> Final:
    return Final(
        stream="s", epoch=1, index=index, start_ms=0, end_ms=500, words=words(text), speech_final=speech_final
    )


def partial(text: str) -> Partial:
    return Partial(stream="s", epoch=1, start_ms=0, end_ms=500, words=words(text))


def said(s: Session) -> list[object]:
    messages: list[object] = []
    while (message := s.next_message_to_send()) is not None:
        messages.append(message)
    return messages
