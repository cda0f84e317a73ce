from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from gateway.errors import BadAudio, GatewayError, NoCapacity, TooManyFailures
from gateway.recorded import openai_answer
from gateway.recorded.tests.saying import final, heard

HEARD = heard(final("Ever tried."), final(""), final("Ever failed.", start_ms=2000))
USAGE = {"type": "duration", "seconds": 9.963}


def test_json() -> None:
    assert openai_answer.json_answer(HEARD) == {"text": "Ever tried. Ever failed.", "usage": USAGE}


def verbose(*, words: bool, segments: bool) -> dict[str, object]:
    return openai_answer.verbose_answer(HEARD, language="en", words=words, segments=segments, temperature=0.2)


def test_an_answer_has_its_receipt_where_there_is_one() -> None:
    receipt = {"body": "{}", "key": "k", "signature": "s", "hash": "h"}
    signed = replace(HEARD, summary=replace(HEARD.summary, receipt=receipt))
    verbose = openai_answer.verbose_answer(
        signed, language="en", words=False, segments=False, temperature=0.0
    )
    for answer in (openai_answer.json_answer(signed), verbose, openai_answer.done(signed)):
        assert answer["receipt"] == receipt
    assert "receipt" not in openai_answer.done(HEARD)


def test_verbose_json_with_segments() -> None:
    body = verbose(words=False, segments=True)
    segments = body.pop("segments")
    assert body == {
        "task": "transcribe",
        "language": "english",
        "duration": 9.963,
        "text": "Ever tried. Ever failed.",
        "usage": USAGE,
    }
    assert isinstance(segments, list)
    assert [(s["id"], s["seek"], s["start"], s["end"], s["text"]) for s in segments] == [
        (0, 0, 0.0, 0.7, "Ever tried."),
        (1, 200, 2.0, 2.7, " Ever failed."),
    ]
    assert segments[0]["tokens"] == []
    assert segments[0]["temperature"] == 0.2
    assert segments[0]["avg_logprob"] == pytest.approx(-0.1054, abs=1e-4)
    assert segments[0]["compression_ratio"] > 0
    assert "".join(s["text"] for s in segments) == body["text"]


def test_verbose_json_with_words() -> None:
    body = verbose(words=True, segments=False)
    assert "segments" not in body
    words = body["words"]
    assert isinstance(words, list)
    assert words[1] == {"word": "tried.", "start": 0.4, "end": 0.7}
    assert len(words) == 4


@pytest.mark.parametrize(("code", "name"), [("en", "english"), ("de-AT", "german"), ("tlh", "tlh")])
def test_languages_by_their_english_names(code: str, name: str) -> None:
    assert openai_answer.language_name(code) == name


def test_deltas_are_the_text() -> None:
    spoken = [f for f in HEARD.finals if f.words]
    deltas = [openai_answer.delta(f, first=n == 0) for n, f in enumerate(spoken)]
    done = openai_answer.done(HEARD)
    assert "".join(d["delta"] for d in deltas) == done["text"]
    assert done == {"type": "transcript.text.done", "text": "Ever tried. Ever failed.", "usage": USAGE}
    event = openai_answer.event(done)
    assert event.startswith(b"data: {")
    assert event.endswith(b"}\n\n")
    assert msgspec.json.decode(event.removeprefix(b"data: ")) == done


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (BadAudio(), "invalid_request_error"),
        (TooManyFailures(), "rate_limit_error"),
        (NoCapacity(), "server_error"),
    ],
)
def test_problems_in_openais_shape(error: GatewayError, kind: str) -> None:
    body = openai_answer.problem(error, "r-1", "file")
    assert body["error"] == {"message": error.sentence, "type": kind, "param": "file", "code": error.code}
    assert body["request_id"] == "r-1"
