"""What tests of coming back share: how far a stream is, what was said of it, and its tokens."""

from __future__ import annotations

import time
import uuid
from typing import Any

import msgspec

from gateway.resume.state import LaneMark, Mark, Record, Stand, Told
from gateway.resume.token import Token
from tenants.access import KeyGrant
from wire.messages import Word


def lane(**changes: Any) -> LaneMark:
    made = LaneMark(start_ms=0, told_ms=0, processed=0, input_ms=0, billed_ms=0, paused=True)
    return msgspec.structs.replace(made, **changes)


def mark(next_seq: int = 0, *lanes: LaneMark) -> Mark:
    return Mark(next_seq, lanes or (lane(),))


def told(seq: int, text: str = "hello there", channel: int = 0) -> Told:
    words = tuple(Word(word, 0, 100, 0.9) for word in text.split())
    return Told(seq, words, seq * 1000, seq * 1000 + 900, True, False, 0, channel)


def record(count: int = 0, called_back: int = 0) -> Record:
    """After so many finals."""
    return Record(Stand(mark(count), called_back), tuple(map(told, range(count))))


def token(grant: KeyGrant, stream: str = "", **changes: Any) -> Token:
    values: dict[str, Any] = {
        "stream": stream or str(uuid.uuid4()),
        "tenant": str(grant.tenant_id),
        "project": str(grant.project_id),
        "region": "test",
        "generation": 1,
        "opened_at": int(time.time()),
        "issued_at": int(time.time()),
        "mark": mark(),
    }
    return Token(**(values | changes))
