"""Whatever comes in whatever order: a session never raises, and bills what it was sent once."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import BadMessage, UpgradeRequired, WorkerLost
from gateway.events import (
    AudioReceived,
    CloseStream,
    Finalize,
    KeepAlive,
    Problem,
    Summary,
    Transcript,
    UsageRange,
)
from gateway.session import WIND_UP_S, State
from gateway.tests.driving import (
    close_stream,
    hear,
    said,
    session,
    to_worker,
)
from wire.messages import (
    Audio,
    End,
    Ended,
    Failed,
    Final,
    Flush,
    Flushed,
    Partial,
    Progress,
    SpeechStarted,
    ToGateway,
)

COMMANDS = st.one_of(
    st.binary(max_size=4000).map(AudioReceived),
    st.sampled_from([KeepAlive(), Finalize(), CloseStream()]),
)
ITEMS = st.one_of(
    st.builds(
        Progress, stream=st.just("s"), epoch=st.just(1), processed=st.integers(0, 10**6), confirmed=st.just(0)
    ),
    st.builds(
        Final,
        stream=st.just("s"),
        epoch=st.just(1),
        index=st.integers(0, 3),
        start_ms=st.just(0),
        end_ms=st.just(1),
        words=st.just(()),
    ),
    st.builds(
        Partial,
        stream=st.just("s"),
        epoch=st.just(1),
        start_ms=st.just(0),
        end_ms=st.just(1),
        words=st.just(()),
    ),
    st.builds(Flushed, stream=st.just("s"), epoch=st.just(1), token=st.integers(0, 4)),
    st.builds(SpeechStarted, stream=st.just("s"), epoch=st.just(1), at_ms=st.just(0)),
    st.builds(Ended, stream=st.just("s"), epoch=st.just(1), processed=st.integers(0, 10**6)),
    st.builds(
        Failed, stream=st.just("s"), epoch=st.just(1), code=st.just("x"), processed=st.integers(0, 10**6)
    ),
)


@given(
    st.lists(
        st.one_of(COMMANDS, ITEMS, st.floats(0, 100), st.sampled_from(["gone", "lost", "bad", "wind up"])),
        max_size=40,
    )
)
@settings(max_examples=300, deadline=None)
def test_any_order_of_anything_never_raises_and_never_bills_twice(steps: list[object]) -> None:
    s = session()
    received = 0
    usage: list[UsageRange] = []
    seqs: list[int] = []
    now = 0.0
    last: object = None
    wound_up_at: float | None = None
    for step in steps:
        if isinstance(step, AudioReceived | KeepAlive | Finalize | CloseStream):
            if not isinstance(step, AudioReceived):
                s.receive(step, now)
            elif s.state is State.OPEN:
                received += len(step.data)
                hear(s, step.data, now)
        elif isinstance(step, float):
            now += step
            s.tick(now)
        elif step == "gone":
            s.receive_disconnect()
        elif step == "lost":
            s.can_move("s", WorkerLost())
        elif step == "bad":
            s.receive_bad_message(BadMessage(), now)
        elif step == "wind up":
            was_open = s.state is State.OPEN
            to_worker(s)
            if s.wind_up(UpgradeRequired(), now):
                assert s.state is State.ENDING
                assert [type(item) for item in to_worker(s)] == ([Flush, End] if was_open else [])
                wound_up_at = now
        else:
            item: ToGateway = step  # type: ignore[assignment]
            s.receive_from_worker(item)
        usage += s.usage_to_record()
        if wound_up_at is not None:
            # It has had its last audio, and all the time it gets.
            assert not any(isinstance(item, Audio) for item in to_worker(s))
            assert s.state is State.CLOSED or s.next_deadline() <= wound_up_at + WIND_UP_S
        messages = said(s)
        last = messages[-1] if messages else last
        seqs += [m.seq for m in messages if isinstance(m, Transcript) and m.is_final]
    assert seqs == list(range(len(seqs)))
    at = 0
    for part in usage:
        assert part.from_ms == at < part.to_ms
        at = part.to_ms
    assert at == s.billed_ms <= received // 2 * 1000 // 16_000
    assert (s.close_to_send is not None) == (s.state is State.CLOSED)
    if s.close_to_send is not None and s.close_to_send.code != 1006:
        assert isinstance(
            last, Problem if s.close_to_send.reason else Summary
        )  # nobody is hung up on silently


@given(
    st.binary(min_size=1, max_size=3000),
    st.lists(st.integers(0, 3000), max_size=10),
    st.sampled_from([8_000, 16_000, 44_100]),
)
@settings(max_examples=100, deadline=None)
def test_any_split_of_the_bytes_gives_the_same_audio_and_the_same_bill(
    data: bytes, cuts: list[int], rate: int
) -> None:
    def run(pieces: list[bytes]) -> tuple[bytes, list[UsageRange]]:
        s = session(rate)
        for piece in pieces:
            hear(s, piece, 0)
        close_stream(s, 0)
        pcm = b"".join(item.pcm for item in to_worker(s) if isinstance(item, Audio))
        s.receive_from_worker(Ended(stream="s", epoch=1, processed=len(pcm) // 2))
        return pcm, s.usage_to_record()

    borders = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[a:b] for a, b in pairwise(borders)]
    assert run(pieces) == run([data])
