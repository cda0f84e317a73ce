"""A customer's own client, real speech, and exactly the bill for it."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests import recordings
from tests.acceptance import sdk
from tests.acceptance.stack import Stack
from tests.acceptance.tenant import Tenant, new_key, usage

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

MAX_WORD_ERROR_RATE = 0.15


@pytest.mark.parametrize(
    ("name", "realtime"), [("beckett.wav", True), ("beckett.wav", False), ("two_cities.wav", False)]
)
def test_real_speech_is_transcribed_in_order_and_billed_exactly(
    stack: Stack, acme: Tenant, name: str, realtime: bool
) -> None:
    pcm, rate = recordings.pcm(name)
    heard = sdk.transcribe(stack, acme.key, pcm, rate, realtime=realtime)

    assert heard.errors == []
    assert None not in heard.messages  # a message of a type that the SDK does not know
    assert recordings.word_error_rate(recordings.TEXTS[name], heard.transcript) <= MAX_WORD_ERROR_RATE

    times = [at for word in heard.words for at in (word.start, word.end)]
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] <= heard.sent_s
    assert [final.seq for final in heard.finals] == list(range(len(heard.finals)))
    assert all(later.start >= earlier.start for earlier, later in pairwise(heard.finals))
    assert {message.metadata.request_id for message in heard.of_type("Results")} == {heard.request_id}
    if realtime:
        assert len(heard.partials) >= 3

    assert heard.messages[-1].type == "Metadata"
    assert len(heard.of_type("Metadata")) == 1
    assert heard.close_code == 1000

    sent_ms = len(pcm) // 2 * 1000 // rate
    summary = heard.messages[-1]
    assert summary.request_id == heard.request_id
    assert summary.duration == sent_ms / 1000
    assert summary.billed_seconds == sent_ms / 1000
    ranges = usage(stack, acme, heard.request_id, sent_ms)
    assert ranges[0][0] == 0
    assert ranges[-1][1] == sent_ms
    assert all(end == start for (_, end), (start, _) in pairwise(ranges))


def test_finalize_and_keep_alive(stack: Stack, acme: Tenant) -> None:
    """Voice agents ask for the final as soon as they think the turn is over, and keep the stream."""
    pcm, rate = recordings.pcm("beckett.wav")
    half = len(pcm) // 4 * 2
    with sdk.listening(stack, acme.key, rate) as (socket, heard):
        sdk.send(socket, pcm[:half], rate, realtime=False)
        socket.send_finalize()
        socket.send_keep_alive()
        sdk.send(socket, pcm[half:], rate, realtime=False)
        socket.send_close_stream()
    assert heard.close_code == 1000
    answers = [final for final in heard.finals if final.from_finalize]
    assert len(answers) == 1
    assert [final.seq for final in heard.finals] == list(range(len(heard.finals)))
    assert "ever failed" in heard.transcript.lower()


def test_without_interim_results_only_finals_come(stack: Stack, acme: Tenant) -> None:
    pcm, rate = recordings.pcm("beckett.wav")
    heard = sdk.transcribe(stack, acme.key, pcm, rate, realtime=False, interim_results=False)
    assert heard.partials == []
    assert heard.finals


def test_a_bad_key_is_refused_with_a_code(stack: Stack, acme: Tenant) -> None:
    with sdk.refused(401, "key_malformed"), sdk.listening(stack, "not-a-key", 16000):
        pass
    unknown = acme.key[:-8] + ("A" * 8 if not acme.key.endswith("A" * 8) else "B" * 8)
    with sdk.refused(401, "key_unknown"), sdk.listening(stack, unknown, 16000):
        pass


def test_a_key_without_the_scope_is_refused(stack: Stack, acme: Tenant) -> None:
    key = new_key(stack, acme, "usage:read")
    with sdk.refused(403, "scope_missing"), sdk.listening(stack, key, 16000):
        pass


def test_another_tenant_sees_nothing_of_a_stream(stack: Stack, acme: Tenant, rival: Tenant) -> None:
    """Both stream at once through one gateway and one worker; each gets its own words and its own bill."""
    pcm, rate = recordings.pcm("beckett.wav")
    silence = bytes(len(pcm))
    with (
        sdk.listening(stack, acme.key, rate) as (ours, heard),
        sdk.listening(stack, rival.key, rate) as (theirs, overheard),
    ):
        for offset in range(0, len(pcm), 32000):
            sdk.send(ours, pcm[offset : offset + 32000], rate, realtime=False)
            sdk.send(theirs, silence[offset : offset + 32000], rate, realtime=False)
        ours.send_close_stream()
        theirs.send_close_stream()
    assert "ever failed" in heard.transcript.lower()
    assert overheard.words == []
    sent_ms = len(pcm) // 2 * 1000 // rate
    assert usage(stack, acme, heard.request_id, sent_ms)[-1][1] == sent_ms
    assert usage(stack, rival, heard.request_id, 0) == []
    theirs_id = overheard.messages[-1].request_id
    assert theirs_id != heard.request_id
    assert usage(stack, rival, theirs_id, sent_ms)[-1][1] == sent_ms
