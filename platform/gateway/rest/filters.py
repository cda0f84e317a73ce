"""Filters that reports have in common, in Deepgram's words, and what they mean here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal
from uuid import UUID

from ninja import Query
from pydantic import WithJsonSchema

from gateway.errors import BadParameter
from metering.events import LIVE, RECORDED

METHODS = {"streaming": LIVE, "sync": RECORDED}
METHOD_OF = {kind: method for method, kind in METHODS.items()}
ENDPOINT, DEPLOYMENT = "listen", "self-hosted"
MAX_LENGTH = 128

Start = Annotated[
    str | None, Query(description="A day (2026-01-31) or a time (2026-01-31T12:00:00Z). Without a zone: UTC.")
]
End = Annotated[str | None, Query(description="The same; of a day its end. Now, if it is not given.")]
Accessor = Annotated[
    Annotated[str, WithJsonSchema({"type": "string", "format": "uuid"})] | None,
    Query(description="Only of the API key with this id."),
]
Tag = Annotated[str | None, Query(min_length=1, max_length=MAX_LENGTH, description="Only what has this tag.")]
Model = Annotated[
    str | None,
    Query(min_length=1, max_length=MAX_LENGTH, description="Only of this model, by its name or its uuid."),
]
Method = Annotated[
    Literal["sync", "async", "streaming"] | None,
    Query(description="`streaming`: live audio. `sync`: recorded audio. `async`: nothing is."),
]
Endpoint = Annotated[
    Literal["listen", "read", "speak", "agent"] | None,
    Query(description="`listen` is everything; of the others there is nothing."),
]
Deployment = Annotated[
    Literal["hosted", "beta", "self-hosted"] | None,
    Query(description="`self-hosted` is everything; of the others there is nothing."),
]

# By these Deepgram's usage can be filtered as well. They are not kept here, and to pass over them would be to
# answer another question than was asked.
NOT_KEPT = frozenset(
    (
        "alternatives", "callback", "callback_method", "channels", "custom_intent", "custom_intent_mode",
        "custom_topic", "custom_topic_mode", "detect_entities", "detect_language", "diarize", "dictation",
        "encoding", "extra", "filler_words", "intents", "keyterm", "keywords", "language", "measurements",
        "multichannel", "numerals", "paragraphs", "profanity_filter", "punctuate", "redact", "replace",
        "sample_rate", "search", "sentiment", "smart_format", "summarize", "topics", "utt_split",
        "utterances", "version",
    )
)  # fmt: skip


def refuse_what_is_not_kept(names: Iterable[str]) -> None:
    if asked := sorted(NOT_KEPT.intersection(names)):
        raise BadParameter(
            f"{asked[0]}: usage is not kept by this. It can be filtered by start, end, accessor, tag, model, "
            "method, endpoint and deployment."
        )


def nothing(method: str | None, endpoint: str | None, deployment: str | None) -> bool:
    """Whether what was asked for is something that there never is here."""
    return method == "async" or endpoint not in (None, ENDPOINT) or deployment not in (None, DEPLOYMENT)


def key_id(accessor: str | None) -> UUID | None:
    if accessor is None:
        return None
    try:
        return UUID(accessor)
    except ValueError:
        raise BadParameter("accessor: allowed is the id of an API key, a UUID.") from None


def text(name: str, value: str | None) -> str | None:
    if value is not None and not (0 < len(value) <= MAX_LENGTH and value.isprintable()):
        raise BadParameter(f"{name}: allowed are 1 to {MAX_LENGTH} printable characters.")
    return value
