"""Every message that crosses between a gateway process and a worker.

One `Envelope` travels a tick and carries the items of many streams. All audio on the wire is 16 kHz mono
signed 16-bit little-endian; positions are counted in samples from the first sample of the stream.

`stream` is the request id. `epoch` fences: it grows each time a stream is given to a worker, and an item
of another epoch is dropped, so a worker that comes back late can do no harm.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

import msgspec

WIRE_VERSION = 1
SAMPLE_RATE = 16_000
BYTES_PER_SAMPLE = 2


class Item(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """What all items have: the stream they are about and the epoch they belong to."""

    stream: str
    epoch: int


class StreamOptions(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the customer asked for, as far as an engine can act on it."""

    model: str = ""
    version: str = ""  # of the model; "": whatever the worker has
    language: str = "en"
    interim_results: bool = False
    endpointing_ms: int | None = None  # silence that ends an utterance; None: the engine's own, 0: never
    keyterms: tuple[str, ...] = ()
    recorded: bool = False  # recorded audio yields to live streams


# ---- gateway to worker


class Open(Item, frozen=True, kw_only=True, omit_defaults=True):
    """Give this stream a slot. Answered by `Opened` or `Refused`. The worker notes whose it is in its log."""

    tenant: str
    options: StreamOptions
    start: int = 0  # position of the first sample that will be sent; above 0 when a stream moves here
    project: str = ""  # and `key`: a gateway of before did not say
    key: str = ""
    tags: tuple[str, ...] = ()
    replay_until: int = 0  # audio before it was heard by another worker and comes faster than it was spoken


class Audio(Item, frozen=True, kw_only=True, omit_defaults=True):
    """Samples from `position` on. A worker that expected another position fails the stream by name."""

    position: int
    pcm: bytes


class Flush(Item, frozen=True, kw_only=True, omit_defaults=True):
    """Finish the utterance with what has been sent so far (`Finalize`). Answered by `Flushed`."""

    token: int


class End(Item, frozen=True, kw_only=True, omit_defaults=True):
    """No more audio: finish, send the finals, then `Ended`. `input_ms` is all that the client sent, which is
    what is billed when all of it has been processed; None: a gateway of before did not say."""

    input_ms: int | None = None


class Abort(Item, frozen=True, kw_only=True, omit_defaults=True):
    """The client is gone: free the slot now, send nothing more. `processed` is as far as the gateway has
    heard; no more than that is billed, whatever was done beyond. None: a gateway of before did not say."""

    processed: int | None = None


# ---- worker to gateway


class Opened(Item, frozen=True, kw_only=True, omit_defaults=True):
    worker: str
    model: str
    version: str
    arch: str
    chunk: int = 0  # samples that the engine takes at a time; 0: a worker of before did not say


class Refused(Item, frozen=True, kw_only=True, omit_defaults=True):
    """The worker cannot serve this stream: `no_capacity`, `draining`, `unhealthy`, `not_recorded`, or
    `unknown_model`, `unknown_version`, `unknown_language`."""

    code: str
    retry_after_s: float = 1.0


class Word(msgspec.Struct, frozen=True, array_like=True):
    """A word as heard, with milliseconds from the start of the stream."""

    text: str
    start_ms: int
    end_ms: int
    confidence: float


class Partial(Item, frozen=True, kw_only=True, omit_defaults=True):
    """What the current utterance looks like so far; replaces the partial before it."""

    start_ms: int
    end_ms: int
    words: tuple[Word, ...]
    stability: float = 0.0


class Final(Item, frozen=True, kw_only=True, omit_defaults=True):
    """An utterance, or a part of one, that will not change. `index` counts 0, 1, 2, … in a stream."""

    index: int
    start_ms: int
    end_ms: int
    words: tuple[Word, ...]
    speech_final: bool = False  # the speaker paused here


class SpeechStarted(Item, frozen=True, kw_only=True, omit_defaults=True):
    at_ms: int


class Flushed(Item, frozen=True, kw_only=True, omit_defaults=True):
    """All that was said before the `Flush` with this token has been sent as finals."""

    token: int


class Progress(Item, frozen=True, kw_only=True, omit_defaults=True):
    """The watermark. Audio before `confirmed` is in a final or was silence and is never needed again;
    audio before `processed` has been through the engine and is billed. `speech_end` is where the last
    speech heard so far ends: at `processed` until the utterance is finished and its final was sent, so it
    may go back a little then; 0 while nobody has spoken, and when the engine cannot tell."""

    processed: int
    confirmed: int
    speech_end: int = 0


class Ended(Item, frozen=True, kw_only=True, omit_defaults=True):
    """Everything has been sent; the slot is free."""

    processed: int


class Failed(Item, frozen=True, kw_only=True, omit_defaults=True):
    """The stream cannot go on here; the slot is free. `processed` was done and is billed."""

    code: str
    processed: int


ToWorker: TypeAlias = Open | Audio | Flush | End | Abort
ToGateway: TypeAlias = (
    Opened | Refused | Partial | Final | SpeechStarted | Flushed | Progress | Ended | Failed
)
AnyItem: TypeAlias = ToWorker | ToGateway


class Envelope(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one process says to another in one channel-layer message.

    `seq` counts the envelopes that carry items, from 1, per sender and receiver; 0 carries none and only
    acknowledges. `ack` is the last `seq` received in order from the other side.

    `link` numbers the tries of one gateway at one worker: the gateway begins with 1, and once a link is
    broken it begins the next, numbered one higher, from `seq` 1; the worker answers under the number it was
    called with. Envelopes of another link are dropped, so what is left of a broken one does no harm.
    """

    version: int = WIRE_VERSION
    sender: str
    link: int = 1
    broken: bool = False  # the sender has given this link up; what was not acknowledged is lost
    seq: int = 0
    ack: int = 0
    items: tuple[AnyItem, ...] = ()


class WorkerState(StrEnum):
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    UNHEALTHY = "unhealthy"
    STOPPED = "stopped"


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a worker tells every gateway of its region a few times a second."""

    version: int = WIRE_VERSION
    worker: str  # its name, for people
    address: str  # its channel, for envelopes
    region: str
    state: WorkerState
    engine: str
    model: str
    languages: tuple[str, ...]
    capacity: int
    active: int
    recorded_room: int | None = None  # for streams of recorded audio; None: no less than for any
    step_p95_ms: float = 0.0
    queue_p95_ms: float = 0.0
