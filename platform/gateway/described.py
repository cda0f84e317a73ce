"""Every query parameter of `/v1/listen`: what it means, what is allowed, and how it is read. Data only.

The parser reads it, and so do the documents and the OpenAPI document, which can therefore not disagree.
"""

from __future__ import annotations

from gateway import query
from gateway.audio.base import MAX_CHANNELS
from gateway.audio.encodings import NAMES
from gateway.formatting.redact import KINDS, MEANING
from gateway.query import Parameter
from gateway.resume.state import MAX_TOKEN_LENGTH

SAMPLE_RATES = (8_000, 48_000)
ENDPOINTING_MS = (10, 10_000)
UTTERANCE_END_MS = (100, 10_000)
MAX_TAGS, MAX_TAG_LENGTH = 16, 128
MAX_EXTRA, MAX_EXTRA_KEY, MAX_EXTRA_VALUE = 16, 64, 256
MAX_KEYTERMS, MAX_KEYTERM_LENGTH = 100, 100
MAX_CALLBACK_LENGTH = 2048
MAX_SEQ = 999_999_999
_BOOLEAN = {"type": "boolean"}


def _flag(name: str, means: str, default: str = "false") -> Parameter:
    return Parameter(name, means, "true or false", default, query.boolean, name, _BOOLEAN)


DESCRIBED: tuple[Parameter, ...] = (
    Parameter(
        "encoding",
        "how the audio is encoded",
        ", ".join(NAMES),
        "recognised from the audio; linear16 when sample_rate is given",
        query.choice(*NAMES),
        "encoding",
        {"type": "string", "enum": list(NAMES)},
    ),
    Parameter(
        "sample_rate",
        "samples a second, of audio that does not say so itself",
        "a whole number from {} to {}".format(*SAMPLE_RATES),
        "16000; 8000 for mulaw and alaw",
        query.whole(*SAMPLE_RATES),
        "sample_rate",
        {"type": "integer", "minimum": SAMPLE_RATES[0], "maximum": SAMPLE_RATES[1]},
    ),
    Parameter(
        "channels",
        "channels of the audio",
        f"a whole number from 1 to {MAX_CHANNELS}",
        "1",
        query.whole(1, MAX_CHANNELS),
        "channels",
        {"type": "integer", "minimum": 1, "maximum": MAX_CHANNELS},
    ),
    _flag("multichannel", "transcribe every channel for itself instead of all mixed down"),
    Parameter(
        "model",
        "the model; names of other services' models mean the default",
        f"1 to {query.MAX_TEXT} printable characters",
        "the worker's",
        query.text(),
        "model",
    ),
    Parameter(
        "version",
        "the version of the model, or latest",
        f"1 to {query.MAX_TEXT} printable characters",
        "latest",
        query.text(),
        "version",
    ),
    Parameter(
        "language",
        "the language that is spoken; multi: whichever the model hears",
        f"1 to {query.MAX_TEXT} printable characters",
        "en",
        query.text(),
        "language",
    ),
    _flag("interim_results", "send partials, which the next result replaces"),
    _flag("punctuate", "punctuation and capitals", "true"),
    _flag("smart_format", "English numbers, dates, times, money and telephone numbers as they are written"),
    _flag("numerals", "English numbers in digits, small ones too"),
    Parameter(
        "endpointing",
        "milliseconds of silence that end an utterance; false: never",
        "true, false, or milliseconds from {} to {}".format(*ENDPOINTING_MS),
        "the engine's own",
        query.switch_or_whole(*ENDPOINTING_MS, on=None, off=0),
        "endpointing_ms",
        {
            "anyOf": [
                {"type": "integer", "minimum": ENDPOINTING_MS[0], "maximum": ENDPOINTING_MS[1]},
                _BOOLEAN,
            ]
        },
    ),
    Parameter(
        "utterance_end_ms",
        "send UtteranceEnd when nobody has spoken for so many milliseconds after the last word",
        "false, or milliseconds from {} to {}".format(*UTTERANCE_END_MS),
        "never",
        query.switch_or_whole(*UTTERANCE_END_MS, on=1000, off=None),
        "utterance_end_ms",
        {"type": "integer", "minimum": UTTERANCE_END_MS[0], "maximum": UTTERANCE_END_MS[1]},
    ),
    _flag("vad_events", "send SpeechStarted when somebody begins to speak"),
    Parameter(
        "keyterm",
        "a word or phrase to listen for, for engines that can; repeat it for more",
        f"up to {MAX_KEYTERMS}, each of up to {MAX_KEYTERM_LENGTH} printable characters",
        "none",
        query.texts(MAX_KEYTERMS, MAX_KEYTERM_LENGTH),
        "keyterms",
        repeated=True,
    ),
    Parameter(
        "keywords",
        "the older name of keyterm; a weight (word:2) is read and not used",
        f"up to {MAX_KEYTERMS}, each of up to {MAX_KEYTERM_LENGTH} printable characters",
        "none",
        query.weighted(MAX_KEYTERMS, MAX_KEYTERM_LENGTH),
        "keywords",
        repeated=True,
    ),
    Parameter(
        "redact",
        "what is not to appear in any result; English only",
        f"{', '.join(KINDS)}; true for numbers; false for nothing",
        "nothing",
        query.several(KINDS, meaning=MEANING),
        "redact",
        {"type": "string", "enum": [*KINDS, *MEANING, "false"]},
        repeated=True,
    ),
    Parameter(
        "tag",
        "kept with the usage; repeat it for more",
        f"up to {MAX_TAGS}, each of up to {MAX_TAG_LENGTH} printable characters",
        "none",
        query.texts(MAX_TAGS, MAX_TAG_LENGTH),
        "tags",
        repeated=True,
    ),
    Parameter(
        "extra",
        "key:value, said again in Metadata; repeat it for more",
        f"up to {MAX_EXTRA} of key:value, the key of 1 to {MAX_EXTRA_KEY} printable characters, "
        f"the value of up to {MAX_EXTRA_VALUE}",
        "none",
        query.pairs(MAX_EXTRA, MAX_EXTRA_KEY, MAX_EXTRA_VALUE),
        "extra",
        repeated=True,
    ),
    Parameter(
        "callback",
        "a public URL that finals are also sent to",
        f"an http or https URL of up to {MAX_CALLBACK_LENGTH} characters",
        "none",
        query.text(MAX_CALLBACK_LENGTH),
        "callback",
        {"type": "string", "format": "uri", "maxLength": MAX_CALLBACK_LENGTH},
    ),
    Parameter(
        "callback_method",
        "the method of the callback",
        "post or put",
        "post",
        query.choice("post", "put"),
        "callback_method",
        {"type": "string", "enum": ["post", "put"]},
    ),
    Parameter(
        "resume",
        "of live audio: true: you will come back when you are cut off or told to, and are moved first when a "
        "gateway or a region stops; false: nothing is kept for you",
        "true or false",
        "the stream can be resumed, and is let finish where it is",
        query.boolean,
        "resume",
        _BOOLEAN,
    ),
    Parameter(
        "resume_token",
        "come back to the stream that gave it, with the same other parameters",
        f"a token of up to {MAX_TOKEN_LENGTH} characters",
        "none: a new stream",
        query.text(MAX_TOKEN_LENGTH),
        "resume_token",
        {"type": "string", "maxLength": MAX_TOKEN_LENGTH},
    ),
    Parameter(
        "last_seq",
        "with resume_token: the seq of the last final that you have; -1: none yet",
        f"a whole number from -1 to {MAX_SEQ}",
        "the last final that had been said when the token was given",
        query.whole(-1, MAX_SEQ),
        "last_seq",
        {"type": "integer", "minimum": -1, "maximum": MAX_SEQ},
    ),
    Parameter(
        "have_from_ms",
        "with resume_token: the oldest of your audio that you can still send, in milliseconds from the start",
        f"a whole number from 0 to {MAX_SEQ}",
        "0",
        query.whole(0, MAX_SEQ),
        "have_from_ms",
        {"type": "integer", "minimum": 0, "maximum": MAX_SEQ},
    ),
)

# Known to clients of other services, accepted with whatever value, and without effect here.
WITHOUT_EFFECT = (
    "detect_entities",
    "detect_language",
    "diarize",
    "diarize_model",
    "dictation",
    "filler_words",
    "language_hint",
    "measurements",
    "mip_opt_out",
    "no_delay",
    "profanity_filter",
    "replace",
    "search",
)
