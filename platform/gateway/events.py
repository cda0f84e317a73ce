"""What a session hears from its client and says to it, in no dialect's words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from gateway.errors import GatewayError
from wire.messages import Word

# ---- from the client


@dataclass(frozen=True)
class AudioReceived:
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


Command: TypeAlias = AudioReceived | KeepAlive | Finalize | CloseStream


# ---- to the client


@dataclass(frozen=True)
class Transcript:
    """A partial, or the final with this `seq`; a partial carries the `seq` its final will have."""

    seq: int
    words: tuple[Word, ...]
    start_ms: int
    end_ms: int
    is_final: bool
    speech_final: bool = False
    from_finalize: bool = False
    stability: float | None = None
    billed_ms: int = 0


@dataclass(frozen=True)
class Summary:
    """The last word of a stream that ended well."""

    audio_ms: int
    audio_sha256: str
    billed_ms: int


@dataclass(frozen=True)
class Problem:
    """Why the stream is about to be closed."""

    error: GatewayError


ClientMessage: TypeAlias = Transcript | Summary | Problem


@dataclass(frozen=True)
class Close:
    code: int
    reason: str = ""


@dataclass(frozen=True)
class UsageRange:
    """Processed audio `[from_ms, to_ms)` of a stream, to be metered once."""

    from_ms: int
    to_ms: int
