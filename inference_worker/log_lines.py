"""The lines of an inference log, written and read. Pure.

    L 1 {…}                          once, at the top: the log's name, its worker and region
    O TIME 7 {…}                     stream 7 of this file is open: whose it is, and from which millisecond
    P TIME 7=960 8=1120              one step: of stream 7 all before 960 ms has been processed
    C TIME 7=1000                    stream 7 has left, and no more than 1000 ms of it counts
    S TIME 960 {…}                   a stream that had left is to count less: its gateway had heard no more
    M TIME                           all that was processed before is above

What lies between two marks becomes records, one for each stream. So the numbers of the records follow from
the file alone: who reads it again, after whatever crash, gives each record the number that it had.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

VERSION = 1
MAX_LINE_BYTES = 1 << 20


class LineError(ValueError):
    """A line of an inference log cannot be read."""


class Head(msgspec.Struct, frozen=True):
    log: str
    worker: str
    region: str
    began: str


class Described(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a record says of its stream, beside the range."""

    stream: str
    epoch: int
    tenant: str
    project: str
    key: str
    kind: str
    model: str
    tags: tuple[str, ...] = ()


class _Opened(msgspec.Struct, frozen=True, omit_defaults=True):
    of: Described
    from_ms: int
    again: bool = False  # it is in a file before this one, too


@dataclass(frozen=True)
class Record:
    """Audio `[from_ms, to_ms)` of a stream was processed. `settled`: nothing past it counts in its epoch."""

    seq: int
    of: Described
    from_ms: int
    to_ms: int
    settled: bool
    processed_at: str

    def as_dict(self) -> dict[str, Any]:
        return {
            "seq": self.seq,
            **msgspec.structs.asdict(self.of),
            "from_ms": self.from_ms,
            "to_ms": self.to_ms,
            "settled": self.settled,
            "processed_at": self.processed_at,
        }


# ---- writing


def moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def head(head: Head) -> str:
    return f"L {VERSION} {_json(head)}\n"


def opened(at: float, number: int, of: Described, from_ms: int, *, again: bool = False) -> str:
    return f"O {moment(at)} {number} {_json(_Opened(of, from_ms, again))}\n"


def step(at: float, processed: Iterable[tuple[int, int]], left: Iterable[tuple[int, int]] = ()) -> str:
    when = moment(at)
    return "".join(
        f"{kind} {when} {' '.join(f'{number}={to_ms}' for number, to_ms in of)}\n"
        for kind, of in (("P", processed), ("C", left))
        if of
    )


def settled_again(at: float, of: Described, to_ms: int) -> str:
    return f"S {moment(at)} {to_ms} {_json(of)}\n"


def mark(at: float) -> str:
    return f"M {moment(at)}\n"


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


# ---- reading


@dataclass
class _Stream:
    of: Described
    at_ms: int  # as far as records were made
    to_ms: int
    again: bool


def read_head(line: bytes) -> Head:
    try:
        kind, version, rest = line.split(b" ", 2)
        if (kind, version) != (b"L", b"1"):
            raise ValueError("not a version that this worker reads")
        found = msgspec.json.decode(rest, type=Head)
        UUID(found.log)
        datetime.fromisoformat(found.began)
        return found
    except (ValueError, msgspec.MsgspecError) as error:
        raise LineError("it does not begin as an inference log does") from error


class Reader:
    """From lines to records. A line that cannot be read is counted and passed over, as is a torn last one."""

    def __init__(self) -> None:
        self.head: Head | None = None
        self.unreadable = 0
        self._rest = b""
        self._seq = 0
        self._streams: dict[int, _Stream] = {}
        self._window: dict[int, tuple[str, bool]] = {}  # when, and whether it has left; in order
        self._again: list[tuple[Described, int, str]] = []

    def feed(self, data: bytes) -> list[Record]:
        """The records that are complete with this."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE_BYTES:
            self.unreadable, self._rest = self.unreadable + 1, b""
        return [record for line in lines for record in self._line(line)]

    def finish(self) -> list[Record]:
        """There is no more: what is left after the last mark."""
        return self._close_window()

    @property
    def in_a_window(self) -> bool:
        """There are lines since the last mark."""
        return bool(self._window or self._again)

    def _line(self, line: bytes) -> list[Record]:
        if self.head is None:
            self.head = read_head(line)
            return []
        try:
            return self._take(line.decode())
        except (ValueError, KeyError, msgspec.MsgspecError):
            self.unreadable += 1
            return []

    def _take(self, line: str) -> list[Record]:
        kind, _, rest = line.partition(" ")
        when, _, rest = rest.partition(" ")
        datetime.fromisoformat(when)
        if kind == "M":
            return self._close_window()
        if kind == "O":
            number, _, text = rest.partition(" ")
            found = msgspec.json.decode(text, type=_Opened)
            self._streams[int(number)] = _Stream(found.of, found.from_ms, found.from_ms, found.again)
        elif kind == "S":
            to_ms, _, text = rest.partition(" ")
            self._again.append((msgspec.json.decode(text, type=Described), int(to_ms), when))
        elif kind in ("P", "C"):
            for pair in rest.split(" "):
                which, _, until = pair.partition("=")
                self._streams[int(which)].to_ms = int(until)
                self._window[int(which)] = (when, kind == "C")
        else:
            raise LineError("it is of no known kind")
        return []

    def _close_window(self) -> list[Record]:
        records: list[Record] = []
        for number, (when, left) in self._window.items():
            one = self._streams[number]
            # Of a stream of which nothing was processed there is nothing to settle.
            if one.to_ms > one.at_ms or (left and (one.again or one.to_ms < one.at_ms)):
                records.append(self._record(one.of, min(one.at_ms, one.to_ms), one.to_ms, left, when))
                one.at_ms, one.again = one.to_ms, True  # it has records now
            if left:
                del self._streams[number]
        for of, to_ms, when in self._again:
            records.append(self._record(of, to_ms, to_ms, True, when))
        self._window, self._again = {}, []
        return records

    def _record(self, of: Described, from_ms: int, to_ms: int, settled: bool, when: str) -> Record:
        self._seq += 1
        return Record(self._seq, of, from_ms, to_ms, settled, when)
