"""The session is Sans-I/O: everything here is plain calls, with the clock in the test's hand."""

from __future__ import annotations

import hashlib

import pytest

from gateway.errors import AccessRefused, BadMessage, ClientTooSlow, EngineFailed, StreamError, WorkerLost
from gateway.events import (
    Close,
    Finalize,
    KeepAlive,
    Problem,
    Summary,
    Transcript,
    UsageRange,
)
from gateway.lane import MAX_AUDIO_ITEM_BYTES, MAX_FRUITLESS_MOVES
from gateway.session import MAX_BAD_MESSAGES, WIND_UP_S, Limits, State
from gateway.tests.driving import (
    SECOND,
    close_stream,
    final,
    hear,
    partial,
    said,
    session,
    to_worker,
    words,
)
from tenants.errors import KeyRevoked, SpendCapReached
from wire.messages import (
    Abort,
    Audio,
    End,
    Ended,
    Failed,
    Final,
    Flush,
    Flushed,
    Progress,
)


def test_audio_goes_to_the_worker_in_order_and_without_a_gap() -> None:
    s = session()
    hear(s, SECOND * 3, 0)
    hear(s, SECOND[:7], 0)
    hear(s, SECOND[7:], 0)
    items = to_worker(s)
    assert all(isinstance(item, Audio) and len(item.pcm) <= MAX_AUDIO_ITEM_BYTES for item in items)
    position = 0
    for item in items:
        assert isinstance(item, Audio)
        assert item.position == position
        position += len(item.pcm) // 2
    assert position == 4 * 16_000
    assert b"".join(item.pcm for item in items if isinstance(item, Audio)) == SECOND * 4


def test_partials_carry_the_seq_of_the_final_that_replaces_them() -> None:
    s = session()
    s.receive_from_worker(partial("he"))
    assert [m.seq for m in said(s) if isinstance(m, Transcript)] == [0]
    s.receive_from_worker(final(0))
    s.receive_from_worker(partial("the"))
    s.receive_from_worker(final(1))
    kinds = [(m.is_final, m.seq) for m in said(s) if isinstance(m, Transcript)]
    # The partial that was not sent in time is stale once its final is there.
    assert kinds == [(True, 0), (True, 1)]


def test_without_interim_results_only_finals_are_said() -> None:
    s = session(interim=False)
    s.receive_from_worker(partial("he"))
    s.receive_from_worker(final(0))
    assert [m.is_final for m in said(s) if isinstance(m, Transcript)] == [True]


def test_a_client_that_does_not_read_keeps_one_partial_and_every_final() -> None:
    s = session()
    for index in range(50):
        for _ in range(20):
            s.receive_from_worker(partial("more and more"))
        s.receive_from_worker(final(index))
    s.receive_from_worker(partial("the"))
    s.receive_from_worker(partial("the last"))
    messages = [m for m in said(s) if isinstance(m, Transcript)]
    assert [m.seq for m in messages if m.is_final] == list(range(50))
    assert [len(m.words) for m in messages if not m.is_final] == [2]


def test_finalize_marks_the_last_final_before_it_is_flushed() -> None:
    s = session()
    s.receive(Finalize(), 0)
    assert to_worker(s) == [Flush(stream="s", epoch=1, token=1)]
    s.receive_from_worker(final(0))
    assert said(s) == []
    s.receive_from_worker(final(1, speech_final=True))
    s.receive_from_worker(Flushed(stream="s", epoch=1, token=1))
    messages = [m for m in said(s) if isinstance(m, Transcript)]
    assert [(m.seq, m.from_finalize, m.speech_final) for m in messages] == [
        (0, False, False),
        (1, True, True),
    ]


def test_finalize_with_nothing_said_is_answered_all_the_same() -> None:
    s = session()
    s.receive(Finalize(), 0)
    s.receive_from_worker(Flushed(stream="s", epoch=1, token=1))
    s.receive_from_worker(final(0))
    messages = [m for m in said(s) if isinstance(m, Transcript)]
    assert [(m.seq, m.from_finalize, len(m.words)) for m in messages] == [(0, True, 0), (1, False, 1)]


def test_two_finalizes_have_two_answers_and_a_repeated_token_none() -> None:
    s = session()
    s.receive(Finalize(), 0)
    s.receive(Finalize(), 0)
    for token in (1, 1, 2, 3):
        s.receive_from_worker(Flushed(stream="s", epoch=1, token=token))
    assert [m.from_finalize for m in said(s) if isinstance(m, Transcript)] == [True, True]


def test_close_stream_drains_then_summarises_then_closes() -> None:
    s = session()
    hear(s, SECOND, 0)
    close_stream(s, 1)
    assert to_worker(s)[-1] == End(stream="s", epoch=1, input_ms=1000)
    assert s.close_to_send is None
    hear(s, SECOND, 1)
    assert to_worker(s) == []
    s.receive_from_worker(final(0))
    s.receive_from_worker(Ended(stream="s", epoch=1, processed=16_000))
    last = said(s)[-1]
    assert last == Summary(1000, hashlib.sha256(SECOND).hexdigest(), 1000)
    assert s.close_to_send == Close(1000)
    assert s.usage_to_record() == [UsageRange("s", 0, 1000)]


def test_usage_comes_in_disjoint_ranges_and_ends_exactly_where_the_audio_does() -> None:
    s = session()
    for _ in range(12):
        hear(s, SECOND, 0)
    hear(s, SECOND[: 2 * 16 * 7], 0)
    for processed in range(0, 12 * 16_000, 1600):
        s.receive_from_worker(Progress(stream="s", epoch=1, processed=processed, confirmed=0))
    close_stream(s, 0)
    s.receive_from_worker(Ended(stream="s", epoch=1, processed=12 * 16_000 + 112))
    ranges = s.usage_to_record()
    assert ranges == [
        UsageRange("s", 0, 5000),
        UsageRange("s", 5000, 10_000),
        UsageRange("s", 10_000, 12_007),
    ]


def test_resampled_audio_is_billed_by_what_the_client_sent() -> None:
    s = session(48_000)
    hear(s, b"\x00\x00" * 48_000, 0)
    close_stream(s, 0)
    sent = sum(len(item.pcm) // 2 for item in to_worker(s) if isinstance(item, Audio))
    assert abs(sent - 16_000) <= 1
    s.receive_from_worker(Ended(stream="s", epoch=1, processed=sent))
    assert s.usage_to_record() == [UsageRange("s", 0, 1000)]


def test_a_worker_cannot_make_us_bill_audio_that_was_not_sent() -> None:
    s = session()
    hear(s, SECOND, 0)
    s.receive_from_worker(Progress(stream="s", epoch=1, processed=10**9, confirmed=0))
    s.receive_disconnect()
    assert s.usage_to_record() == [UsageRange("s", 0, 1000)]


def test_a_client_that_leaves_frees_the_slot_and_pays_for_what_was_processed() -> None:
    s = session()
    hear(s, SECOND * 4, 0)
    s.receive_from_worker(Progress(stream="s", epoch=1, processed=2 * 16_000, confirmed=0))
    to_worker(s)
    s.receive_disconnect()
    s.receive_disconnect()
    assert to_worker(s) == [Abort(stream="s", epoch=1, processed=2 * 16_000)]
    assert s.usage_to_record() == [UsageRange("s", 0, 2000)]


def test_silence_on_the_socket_closes_with_the_code_clients_know() -> None:
    s = session()
    s.receive(KeepAlive(), 8)
    s.tick(17.9)
    assert s.state is State.OPEN
    assert s.next_deadline() == 18
    s.tick(18)
    problem = said(s)[0]
    assert isinstance(problem, Problem)
    assert problem.error.code == "NET-0001"
    assert s.close_to_send == Close(1011, "NET-0001")
    assert to_worker(s) == [Abort(stream="s", epoch=1, processed=0)]


def test_the_idle_clock_stands_while_we_do_not_listen() -> None:
    s = session()
    hear(s, SECOND * 20, 0)
    assert s.window_full
    s.tick(100)
    assert s.state is State.OPEN
    s.receive_from_worker(Progress(stream="s", epoch=1, processed=16_000, confirmed=0))
    assert not s.window_full
    s.tick(109)
    assert s.state is State.OPEN


def test_the_longest_stream_ends_by_name_even_while_it_speaks() -> None:
    s = session(limits=Limits(idle_s=10, max_s=60, window_s=20, usage_every_s=5))
    s.receive(KeepAlive(), 59)
    s.tick(60)
    assert s.close_to_send == Close(1008, "stream_too_long")


def test_a_bad_message_costs_an_error_and_many_cost_the_stream() -> None:
    s = session()
    for _ in range(MAX_BAD_MESSAGES - 1):
        s.receive_bad_message(BadMessage(), 0)
    assert s.state is State.OPEN
    s.receive_bad_message(BadMessage(), 0)
    assert s.close_to_send == Close(1008, "bad_message")
    assert len(said(s)) == MAX_BAD_MESSAGES


def test_a_stream_is_moved_as_long_as_that_helps() -> None:
    s = session()
    hear(s, SECOND * 3, 0)
    for processed in (0, 16_000):
        s.receive_from_worker(Progress(stream="s", epoch=1, processed=processed, confirmed=0))
        for _ in range(MAX_FRUITLESS_MOVES):
            assert s.can_move("s", WorkerLost())
    assert not s.can_move("s", WorkerLost())
    assert s.close_to_send == Close(4503, "worker_lost")
    assert len(said(s)) == 1
    assert not s.can_move("s", WorkerLost())


def test_a_failed_engine_bills_what_it_did_and_gives_up_the_held_final() -> None:
    s = session()
    hear(s, SECOND * 3, 0)
    s.receive(Finalize(), 0)
    s.receive_from_worker(final(0))
    s.receive_from_worker(Failed(stream="s", epoch=1, code="engine_failed", processed=2 * 16_000))
    assert said(s) == []
    s.fail(EngineFailed())
    kinds = [type(m) for m in said(s)]
    assert kinds == [Transcript, Problem]
    assert s.usage_to_record() == [UsageRange("s", 0, 2000)]
    assert s.close_to_send == Close(4500, "engine_failed")


@pytest.mark.parametrize("error", [AccessRefused(KeyRevoked()), ClientTooSlow()])
def test_the_house_can_end_a_stream(error: Exception) -> None:
    s = session()
    s.fail(error)  # type: ignore[arg-type]
    s.fail(ClientTooSlow())
    assert to_worker(s) == [Abort(stream="s", epoch=1, processed=0)]
    assert s.close_to_send == Close(1008, error.code)  # type: ignore[attr-defined]


HOLD = AccessRefused(SpendCapReached())


def test_a_stream_that_is_wound_up_loses_nothing_and_says_why() -> None:
    s = session()
    hear(s, SECOND * 3, 0)
    s.receive_from_worker(Progress(stream="s", epoch=1, processed=16_000, confirmed=0))
    to_worker(s)
    assert s.wind_up(HOLD, 10)
    assert [type(item) for item in to_worker(s)] == [Flush, End]
    hear(s, SECOND * 3, 11)  # too late: neither sent nor billed
    assert to_worker(s) == []
    s.receive_from_worker(final(0))
    s.receive_from_worker(Flushed(stream="s", epoch=1, token=1))
    assert s.close_to_send is None
    s.receive_from_worker(Ended(stream="s", epoch=1, processed=3 * 16_000))
    result, problem = said(s)
    assert isinstance(result, Transcript)
    assert (result.is_final, result.from_finalize) == (True, True)
    assert isinstance(problem, Problem)
    assert problem.error is HOLD
    assert s.close_to_send == Close(1008, "spend_cap_reached")
    assert [(part.from_ms, part.to_ms) for part in s.usage_to_record()] == [(0, 3000)]


def test_who_is_wound_up_twice_is_told_the_first_reason_in_the_first_time() -> None:
    s = session()
    assert s.wind_up(HOLD, 10)
    assert not s.wind_up(ClientTooSlow(), 12)
    assert s.next_deadline() == 10 + WIND_UP_S
    s.tick(10 + WIND_UP_S)
    assert s.close_to_send == Close(1008, "spend_cap_reached")
    assert not s.wind_up(HOLD, 20)


def test_a_worker_that_does_not_finish_in_time_is_not_waited_for() -> None:
    s = session()
    hear(s, SECOND * 3, 0)
    s.wind_up(HOLD, 0)
    s.receive_from_worker(final(0))
    s.receive_from_worker(Progress(stream="s", epoch=1, processed=16_000, confirmed=0))
    s.tick(WIND_UP_S - 0.1)
    assert s.state is State.ENDING
    to_worker(s)
    s.tick(WIND_UP_S)
    assert [type(m) for m in said(s)] == [Transcript, Problem]
    assert to_worker(s) == [Abort(stream="s", epoch=1, processed=16_000)]
    assert [(part.from_ms, part.to_ms) for part in s.usage_to_record()] == [(0, 1000)]


def test_who_was_about_to_end_by_himself_ends_well_unless_it_takes_too_long() -> None:
    for in_time in (True, False):
        s = session()
        hear(s, SECOND, 0)
        close_stream(s, 1)
        assert s.wind_up(HOLD, 1)
        if in_time:
            s.receive_from_worker(Ended(stream="s", epoch=1, processed=16_000))
        s.tick(1 + WIND_UP_S)
        assert isinstance(said(s)[-1], Summary if in_time else Problem)
        assert s.close_to_send == (Close(1000) if in_time else Close(1008, "spend_cap_reached"))


def test_what_the_decoder_still_held_is_not_billed_when_a_stream_is_wound_up() -> None:
    s = session(44_100)
    hear(s, b"\1\0" * 44_100, 0)
    sent = sum(len(item.pcm) // 2 for item in to_worker(s) if isinstance(item, Audio))
    assert sent < 16_000  # or this tests nothing
    s.wind_up(HOLD, 0)
    s.receive_from_worker(Ended(stream="s", epoch=1, processed=sent))
    assert s.billed_ms == sent * 1000 // 16_000


def test_results_out_of_order_stop_the_stream_rather_than_lose_words() -> None:
    s = session()
    s.receive_from_worker(final(1))
    assert s.close_to_send is not None
    assert s.close_to_send.reason == "stream_error"


def test_other_streams_are_nobodys() -> None:
    s = session()
    s.receive_from_worker(Final(stream="t", epoch=1, index=0, start_ms=0, end_ms=1, words=words("theirs")))
    assert said(s) == []


def test_a_final_that_waited_for_its_flush_is_said_when_the_client_is_gone() -> None:
    """To its own server, or to the client when it comes back."""
    s = session()
    hear(s, SECOND)
    s.receive(Finalize(), 0)
    s.receive_from_worker(final(0, "one"))
    assert said(s) == []
    s.receive_disconnect()
    (message,) = said(s)
    assert isinstance(message, Transcript)
    assert message.words[0].text == "one"


def test_a_session_that_goes_on_elsewhere_says_that_and_no_more() -> None:
    s = session()
    hear(s, SECOND)
    s.receive_from_worker(final(0, "one"))
    s.receive_from_worker(Progress(stream="s", epoch=1, processed=8_000, confirmed=0, speech_end=0))
    s.part(StreamError())
    s.receive_from_worker(final(1, "two"))
    (problem,) = said(s)
    assert isinstance(problem, Problem)
    assert s.close_to_send == Close(4000, "stream_error")
    assert isinstance(to_worker(s)[-1], Abort)
    assert [(part.from_ms, part.to_ms) for part in s.usage_to_record()] == [(0, 500)]
    s.part(StreamError())  # once more changes nothing but what is said last
    assert to_worker(s) == []
