"""What a session hears from its client and says to it, in no dialect's words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from gateway.errors import GatewayError
from gateway.resume.state import Mark
from wire.messages import Word

# ---- from the client


@dataclass(frozen=True)
class AudioReceived:
    """Bytes in the client's encoding; whoever runs the session decodes them."""

    data: bytes


@dataclass(frozen=True)
class KeepAlive:
    pass


@dataclass(frozen=True)
class Finalize:
    pass


@dataclass(frozen=True)
class CloseStream:
    pass


@dataclass(frozen=True)
class Answer:
    """What the client asked of the dialect alone, which answers when everything before it has been said."""

    to: object  # the dialect's own


Command: TypeAlias = KeepAlive | Finalize | CloseStream | Answer


# ---- to the client


@dataclass(frozen=True)
class Transcript:
    """A partial, or the final with this `seq`, which counts over all channels of the stream.

    A partial carries the `seq` that the next final will have.
    """

    seq: int
    words: tuple[Word, ...]
    start_ms: int
    end_ms: int
    is_final: bool
    speech_final: bool = False
    from_finalize: bool = False
    stability: float | None = None
    billed_ms: int = 0  # of all channels together
    channel: int = 0
    mark: Mark | None = None  # how far the stream is with this final, if it can be resumed
    resume_token: str = ""


@dataclass(frozen=True)
class Welcome:
    """To a client that can come back: with what, and from where on it is to send audio. With `url`, it is to
    go there now."""

    resume_token: str
    resume_from_ms: int
    next_seq: int
    window_s: float
    url: str = ""


@dataclass(frozen=True)
class SpeechBegan:
    at_ms: int
    channel: int = 0


@dataclass(frozen=True)
class UtteranceEnd:
    """Nobody has spoken for as long as was asked for after the last word of a final."""

    last_word_end_ms: int
    channel: int = 0


@dataclass(frozen=True)
class Summary:
    """The last word of a stream that ended well."""

    audio_ms: int
    audio_sha256: str
    billed_ms: int
    receipt: Mapping[str, str] | None = None  # None: it will be issued later, or nothing signs receipts here


@dataclass(frozen=True)
class Problem:
    """Why the stream is about to be closed or, not `fatal`, what was wrong with one message."""

    error: GatewayError
    fatal: bool = True


ClientMessage: TypeAlias = Transcript | SpeechBegan | UtteranceEnd | Summary | Problem | Answer | Welcome


@dataclass(frozen=True)
class Close:
    code: int
    reason: str = ""


@dataclass(frozen=True)
class UsageRange:
    """Processed audio `[from_ms, to_ms)` of a lane, to be metered once."""

    lane: str
    from_ms: int
    to_ms: int
