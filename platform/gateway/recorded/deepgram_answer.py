"""What was heard, in the shape of Deepgram's answer about recorded audio. Pure."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gateway.dialects.deepgram import confidence_of, seconds, summary_body, word_body
from gateway.recorded.grouping import Words, paragraphs, utterances
from gateway.recorded.heard import Heard


@dataclass(frozen=True)
class Wishes:
    """What is wanted beside the transcript."""

    utterances: bool = False
    utt_split_ms: int = 800
    paragraphs: bool = False
    detect_language: bool = False


def answer(heard: Heard, wishes: Wishes, *, language: str = "") -> dict[str, Any]:
    about = heard.about
    metadata = summary_body(heard.summary, about) | {"sha256": heard.sha256}
    del metadata["type"]
    channels: list[dict[str, Any]] = []
    for channel in range(about.channels):
        body: dict[str, Any] = {"alternatives": [_alternative(heard.words(channel), wishes)]}
        if wishes.detect_language and language:
            body |= {"detected_language": language, "language_confidence": 1.0}
        channels.append(body)
    results: dict[str, Any] = {"channels": channels}
    if wishes.utterances:
        results["utterances"] = _utterances(heard, wishes.utt_split_ms)
    return {"metadata": metadata, "results": results}


def _alternative(words: Words, wishes: Wishes) -> dict[str, Any]:
    body = _said(words)
    if wishes.paragraphs:
        body["paragraphs"] = _paragraphs(words)
    return body


def _said(words: Words) -> dict[str, Any]:
    bodies = [word_body(word) for word in words]
    return {
        "transcript": " ".join(str(body["punctuated_word"]) for body in bodies),
        "confidence": confidence_of(words),
        "words": bodies,
    }


def _text(words: Words) -> str:
    return str(_said(words)["transcript"])


def _paragraphs(words: Words) -> dict[str, Any]:
    found = paragraphs(words)
    bodies = [
        {
            "sentences": [{"text": _text(one), **_times(one)} for one in sentences],
            "num_words": sum(map(len, sentences)),
            **_times([word for one in sentences for word in one]),
        }
        for sentences in found
    ]
    transcript = "\n\n".join(" ".join(_text(one) for one in sentences) for sentences in found)
    return {"transcript": "\n" + transcript if transcript else "", "paragraphs": bodies}


def _utterances(heard: Heard, pause_ms: int) -> list[dict[str, Any]]:
    about = heard.about
    bodies = [
        {
            **_times(words),
            **_said(words),
            "channel": channel,
            # The same recording heard again gives other ids; the same answer read twice does not.
            "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{about.request_id}/{channel}/{words[0].start_ms}")),
        }
        for channel in range(about.channels)
        for words in utterances(heard.words(channel), pause_ms)
    ]
    return sorted(bodies, key=lambda body: (body["start"], body["channel"]))


def _times(words: Words | Sequence[Any]) -> dict[str, float]:
    return {"start": seconds(words[0].start_ms), "end": seconds(words[-1].end_ms)}
