from __future__ import annotations

from dataclasses import replace

from gateway.recorded.deepgram_answer import Wishes, answer
from gateway.recorded.tests.saying import ABOUT, final, heard

TWO = replace(ABOUT, channels=2)


def test_what_every_answer_has() -> None:
    body = answer(heard(final("Ever tried."), final("Ever failed.", start_ms=2000)), Wishes())
    metadata = body["metadata"]
    assert metadata["request_id"] == "r-1"
    assert metadata["sha256"] == "of the file"
    assert metadata["transaction_key"] == "deprecated"
    assert (metadata["duration"], metadata["channels"], metadata["billed_seconds"]) == (9.963, 1, 9.963)
    assert metadata["models"] == ["m"]
    assert metadata["model_info"]["m"] == {"name": "m", "version": "1", "arch": "a"}
    assert (metadata["region"], metadata["worker"]) == ("eu", "w")
    assert "type" not in metadata
    alternative = body["results"]["channels"][0]["alternatives"][0]
    assert alternative["transcript"] == "Ever tried. Ever failed."
    assert alternative["confidence"] == 0.9
    assert alternative["words"][1] == {
        "word": "tried",
        "start": 0.4,
        "end": 0.7,
        "confidence": 0.9,
        "punctuated_word": "tried.",
    }
    assert set(body["results"]) == {"channels"}
    assert set(alternative) == {"transcript", "confidence", "words"}


def test_a_channel_in_which_nobody_speaks_is_there() -> None:
    body = answer(heard(final("Hi.", channel=1), about=TWO), Wishes())
    first, second = (channel["alternatives"][0] for channel in body["results"]["channels"])
    assert first == {"transcript": "", "confidence": 0.0, "words": []}
    assert second["transcript"] == "Hi."


def test_utterances_of_all_channels_in_the_order_of_time() -> None:
    said = heard(
        final("Hello there."), final("Bye.", start_ms=5000), final("Hi.", start_ms=900, channel=1), about=TWO
    )
    found = answer(said, Wishes(utterances=True))["results"]["utterances"]
    assert [(one["transcript"], one["channel"]) for one in found] == [
        ("Hello there.", 0),
        ("Hi.", 1),
        ("Bye.", 0),
    ]
    assert (found[0]["start"], found[0]["end"], len(found[0]["words"])) == (0.0, 0.7, 2)
    assert len({one["id"] for one in found}) == 3
    parted = answer(said, Wishes(utterances=True, utt_split_ms=10_000))["results"]["utterances"]
    assert [one["transcript"] for one in parted] == ["Hello there. Bye.", "Hi."]


def test_paragraphs_with_their_sentences() -> None:
    said = heard(final("Ever tried. Ever failed."), final("No matter.", start_ms=9000))
    found = answer(said, Wishes(paragraphs=True))["results"]["channels"][0]["alternatives"][0]["paragraphs"]
    assert found["transcript"] == "\nEver tried. Ever failed.\n\nNo matter."
    first, second = found["paragraphs"]
    assert first["sentences"][0] == {"text": "Ever tried.", "start": 0.0, "end": 0.7}
    assert (first["num_words"], first["start"], first["end"]) == (4, 0.0, 1.5)
    assert second["num_words"] == 2
    silence = answer(heard(), Wishes(paragraphs=True))["results"]["channels"][0]["alternatives"][0]
    assert silence["paragraphs"] == {"transcript": "", "paragraphs": []}


def test_the_language_is_named_when_that_was_asked_for() -> None:
    channel = answer(heard(), Wishes(detect_language=True), language="de")["results"]["channels"][0]
    assert channel["detected_language"] == "de"
    assert "detected_language" not in answer(heard(), Wishes(), language="de")["results"]["channels"][0]
