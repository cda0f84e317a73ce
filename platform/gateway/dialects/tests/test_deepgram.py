from __future__ import annotations

import json
from contextlib import suppress

import pytest
from deepgram.listen.v1.types.listen_v1error import ListenV1Error
from deepgram.listen.v1.types.listen_v1metadata import ListenV1Metadata
from deepgram.listen.v1.types.listen_v1results import ListenV1Results
from hypothesis import given
from hypothesis import strategies as st

from gateway.about import About
from gateway.dialects.configure import Configure
from gateway.dialects.deepgram import MAX_TEXT_BYTES, decode_text, encode
from gateway.errors import BadMessage, WorkerLost
from gateway.events import CloseStream, Finalize, KeepAlive, Problem, Summary, Transcript
from wire.messages import Word

ABOUT = About(
    "id-1", "eu-1", "worker-1", "moonshine-tiny", "1", "encoder-decoder", "2026-01-01T00:00:00.000Z"
)
WORDS = (Word("Hi,", 100, 400, 0.5), Word("Bob!", 410, 700, 1.0))


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ('{"type":"KeepAlive"}', KeepAlive()),
        ('{"type": "Finalize", "more": [1]}', Finalize()),
        (' {"channel":0,"type":"CloseStream"}', CloseStream()),
        (
            '{"type":"Configure","keyterms":["a"],"features":{"numerals":true}}',
            Configure(("a",), {"numerals": True}),
        ),
    ],
)
def test_commands(text: str, command: object) -> None:
    assert decode_text(text) == command


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        '"KeepAlive"',
        "{}",
        '{"type":1}',
        '{"type":"keepalive"}',
        "[" * 50_000,
        '{"a":' * 10_000,
    ],
)
def test_a_bad_message_is_refused_by_name_and_says_what_is_allowed(text: str) -> None:
    with pytest.raises(BadMessage) as refused:
        decode_text(text)
    assert "type" in refused.value.sentence.lower()


def test_a_huge_message_is_refused_unread() -> None:
    with pytest.raises(BadMessage, match=str(MAX_TEXT_BYTES)):
        decode_text('{"type":"KeepAlive","pad":"' + "x" * MAX_TEXT_BYTES + '"}')


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)
TYPES = st.sampled_from(["Configure", "KeepAlive", "Finalize", "CloseStream", "configure", ""])
MESSAGES = st.fixed_dictionaries({"type": TYPES | JSON}, optional={"keyterms": JSON, "features": JSON})


@given(st.text(max_size=200) | MESSAGES.map(json.dumps))
def test_any_text_is_a_command_or_refused(text: str) -> None:
    with suppress(BadMessage):
        decode_text(text)


def final(**changes: object) -> Transcript:
    fields: dict[str, object] = {
        "seq": 3, "words": WORDS, "start_ms": 100, "end_ms": 700, "is_final": True, "speech_final": True,
        "billed_ms": 5000,
    }  # fmt: skip
    return Transcript(**{**fields, **changes})  # type: ignore[arg-type]


def test_a_final_is_what_the_sdk_reads() -> None:
    body = json.loads(encode(final(), ABOUT))
    read = ListenV1Results.model_validate(body)
    alternative = read.channel.alternatives[0]
    assert (read.is_final, read.speech_final, read.from_finalize) == (True, True, False)
    assert (read.start, read.duration) == (0.1, 0.6)
    assert alternative.transcript == "Hi, Bob!"
    assert alternative.confidence == 0.75
    assert [(w.word, w.start, w.end, w.punctuated_word) for w in alternative.words] == [
        ("hi", 0.1, 0.4, "Hi,"),
        ("bob", 0.41, 0.7, "Bob!"),
    ]
    assert read.metadata.request_id == "id-1"
    assert body["seq"] == 3
    assert body["metadata"]["billed_seconds"] == 5.0
    assert "stability" not in body


def test_a_partial_has_its_stability() -> None:
    body = json.loads(encode(final(is_final=False, speech_final=False, stability=0.25), ABOUT))
    assert body["stability"] == 0.25
    assert body["is_final"] is False


def test_nothing_said_is_an_empty_transcript_and_no_division_by_it() -> None:
    alternative = json.loads(encode(final(words=()), ABOUT))["channel"]["alternatives"][0]
    assert alternative == {"transcript": "", "confidence": 0.0, "words": []}


def test_the_summary_is_what_the_sdk_reads() -> None:
    read = ListenV1Metadata.model_validate(json.loads(encode(Summary(1500, "ab", 1500), ABOUT)))
    assert (read.duration, read.sha256, read.request_id, read.channels) == (1.5, "ab", "id-1", 1)


def test_the_summary_has_the_receipt_or_says_that_there_is_none_yet() -> None:
    receipt = {"body": "{}", "key": "k", "signature": "s", "hash": "h"}
    for one in (receipt, None):
        said = json.loads(encode(Summary(1500, "ab", 1500, one), ABOUT))
        assert said["receipt"] == one
        ListenV1Metadata.model_validate(said)


def test_an_error_is_what_the_sdk_reads() -> None:
    read = ListenV1Error.model_validate(json.loads(encode(Problem(WorkerLost()), ABOUT)))
    assert read.code == "worker_lost"
    assert "Open a new stream" in read.description
