"""Two records of a stream side by side: what of it is lost, what was counted twice, what is not decided yet.

Pure. One record is the worker's inference log, the other the ledger; both are sets of milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Protocol
from uuid import UUID

from metering.intervals import Range, common, minus, union

# A worker writes before it tells, but its clock may be ahead of the gateway's by so much.
CLOCKS_AGREE_WITHIN = timedelta(seconds=30)
# A stream that its worker has not said the end of is taken as it is once nothing has come of it for so long.
QUIET = timedelta(minutes=5)

LOST, DOUBLE, WRONG_TENANT = "lost", "double", "wrong_tenant"
REPLAYED, CREDITED, RAISED, WAITING = "replayed", "credited", "raised", "waiting"


class Piece(Protocol):
    @property
    def from_ms(self) -> int: ...

    @property
    def to_ms(self) -> int: ...


@dataclass(frozen=True)
class Record:
    """A row of the inference log."""

    project: UUID
    key: UUID
    epoch: int
    from_ms: int
    to_ms: int
    settled: bool
    kind: str
    model: str
    region: str
    worker: str
    tags: tuple[str, ...]
    processed_at: datetime
    log: UUID


@dataclass(frozen=True)
class Entry:
    """A ledger entry of audio: usage, or with `ms` below zero a correction."""

    from_ms: int
    to_ms: int
    ms: int
    processed_at: datetime


@dataclass(frozen=True)
class Stored:
    """A usage event."""

    from_ms: int
    to_ms: int
    worker: str
    processed_at: datetime
    unposted: bool = False


@dataclass(frozen=True)
class Stream:
    tenant: UUID
    name: str
    records: tuple[Record, ...] = ()
    entries: tuple[Entry, ...] = ()
    events: tuple[Stored, ...] = ()


@dataclass(frozen=True)
class Log:
    """How much of a worker's file is here."""

    worker: str
    complete_until: datetime
    closed: bool
    heard: bool = True  # around the day in question, or since


@dataclass(frozen=True)
class Logs:
    by_id: Mapping[UUID, Log] = field(default_factory=dict)
    give_up: bool = False  # what is not here by now is not waited for any longer
    until: datetime | None = None  # as far as that goes: what was processed later may still come

    def complete(self, workers: Iterable[str], at: datetime) -> bool:
        """Whether all that these workers did until then is here."""
        wanted = set(workers)
        its = [log for log in self.by_id.values() if not wanted or log.worker in wanted]
        # Of a worker that keeps no log nothing can be said, however long one waits.
        if not self.known(wanted):
            return False
        if self.given_up(at - CLOCKS_AGREE_WITHIN):
            return True
        # A file that is closed says nothing of what came after it: the next may not be heard of yet.
        reach = {log.worker for log in its if log.complete_until >= at - 2 * CLOCKS_AGREE_WITHIN}
        return bool(reach) and wanted <= reach and all(_has(log, at) for log in its)

    def given_up(self, processed_at: datetime) -> bool:
        """Whether nothing of that moment is waited for. A stream may go on long after the day in question."""
        return self.give_up and (self.until is None or processed_at < self.until)

    def known(self, workers: Iterable[str]) -> bool:
        # A file of long ago that nobody has closed is no sign that its worker still keeps a log.
        return set(workers) <= {log.worker for log in self.by_id.values() if log.heard}

    def final(self, record: Record) -> bool:
        """Whether nothing that is still to come can say that less of this record counts."""
        log = self.by_id.get(record.log)
        return self.given_up(record.processed_at) or (
            log is not None and (log.closed or log.complete_until >= record.processed_at + QUIET)
        )


@dataclass(frozen=True)
class Finding:
    """A range on which the records differ, and what is to be done about it."""

    kind: str
    action: str
    tenant: UUID
    stream: str
    from_ms: int
    to_ms: int
    detail: str = ""
    record: Record | None = None  # what it is replayed from
    reference: str = ""  # under which it is credited
    at: datetime | None = None  # when it was processed

    @property
    def ms(self) -> int:
        return self.to_ms - self.from_ms


def counted(records: Iterable[Record]) -> list[Range]:
    """What the log says was processed and counts: of each epoch as far as it was settled."""
    return union((one.from_ms, end) for one, end in _as_settled(records))


def compare(stream: Stream, logs: Logs) -> list[Finding]:
    logged = counted(stream.records)
    stored = union(_ranges(stream.events))
    waiting = union(_ranges(event for event in stream.events if event.unposted))
    net = coverage(stream.entries)
    booked = union((start, end) for start, end, times in net if times > 0)
    lost = minus(logged, union(booked, waiting))
    return [
        *_to_replay(stream, minus(lost, stored), logs),
        *_stored_and_not_booked(stream, common(lost, stored)),
        *_to_credit(stream, net, logged, logs),
    ]


def coverage(entries: Sequence[Entry]) -> list[tuple[int, int, int]]:
    """How often each part is in the ledger, corrections taken off: `(from, to, times)`, without gaps."""
    steps: dict[int, int] = {}
    for entry in entries:
        sign = 1 if entry.ms > 0 else -1
        steps[entry.from_ms] = steps.get(entry.from_ms, 0) + sign
        steps[entry.to_ms] = steps.get(entry.to_ms, 0) - sign
    at = sorted(steps)
    found, times = [], 0
    for start, end in pairwise(at):
        times += steps[start]
        found.append((start, end, times))
    return found


def of_day(findings: Iterable[Finding], end: datetime) -> list[Finding]:
    """What still waits of a stream after the day's end is for the next day's run."""
    return [
        one
        for one in findings
        if one.action != WAITING or one.at is None or one.at - CLOCKS_AGREE_WITHIN < end
    ]


def of_strangers(findings: Iterable[Finding], strangers: Mapping[str, Sequence[UUID]]) -> list[Finding]:
    """The same stream under two tenants: nobody but a person can say whose it is, so nothing is mended."""
    return [
        Finding(
            WRONG_TENANT, RAISED, one.tenant, one.stream, one.from_ms, one.to_ms,
            f"{one.kind} here, and also recorded under {_names(strangers[one.stream], one.tenant)}",
        )
        if one.stream in strangers
        else one
        for one in findings
    ]  # fmt: skip


def _to_replay(stream: Stream, lost: Sequence[Range], logs: Logs) -> list[Finding]:
    settled = {one.epoch for one in stream.records if one.settled}
    found, left = [], list(lost)
    # The first that processed a part has it: a later worker only heard it again.
    for record, end in sorted(_as_settled(stream.records), key=lambda pair: pair[0].processed_at):
        its = [(record.from_ms, end)]
        final = record.epoch in settled or logs.final(record)
        for start, stop in common(left, its):
            action, detail = (REPLAYED, "") if final else (WAITING, "its worker has not said where it ended")
            found.append(
                Finding(
                    LOST,
                    action,
                    stream.tenant,
                    stream.name,
                    start,
                    stop,
                    detail,
                    record,
                    at=record.processed_at,
                )
            )
        left = minus(left, its)
    return found


def _stored_and_not_booked(stream: Stream, ranges: Sequence[Range]) -> list[Finding]:
    credited = union(_ranges(entry for entry in stream.entries if entry.ms < 0))
    late = [(one, "credited before its log came") for one in common(ranges, credited)]
    never = [(one, "stored, and neither posted nor waiting to be") for one in minus(ranges, credited)]
    return [
        Finding(LOST, RAISED, stream.tenant, stream.name, start, end, detail)
        for (start, end), detail in late + never
    ]


def _to_credit(
    stream: Stream, net: Sequence[tuple[int, int, int]], logged: Sequence[Range], logs: Logs
) -> list[Finding]:
    booked = union((start, end) for start, end, times in net if times > 0)
    twice = union((start, end) for start, end, times in net if times > 1)
    found = []
    for part in minus(booked, logged):
        workers, until = _heard(stream, part)
        action, detail = WAITING, "the log of its worker is not all here yet"
        if logs.complete(workers, until):
            action, detail = CREDITED, ""
        elif logs.given_up(until - CLOCKS_AGREE_WITHIN):
            action, detail = RAISED, f"no log of {', '.join(sorted(workers))} has come"
        reference = f"reconcile:{stream.name}:{part[0]}-{part[1]}"
        at = until - CLOCKS_AGREE_WITHIN
        found.append(
            Finding(DOUBLE, action, stream.tenant, stream.name, *part, detail, reference=reference, at=at)
        )
    # Events cannot overlap, so somebody or something else has written to the ledger.
    for part in common(twice, logged):
        detail = "more than once in the ledger: manage.py ledger verify"
        found.append(Finding(DOUBLE, RAISED, stream.tenant, stream.name, *part, detail))
    return found


def _heard(stream: Stream, part: Range) -> tuple[set[str], datetime]:
    """The workers that this part is said to be of, and until when."""
    events = [one for one in stream.events if one.from_ms < part[1] and part[0] < one.to_ms]
    entries = [one for one in stream.entries if one.from_ms < part[1] and part[0] < one.to_ms]
    until = max([one.processed_at for one in events] + [one.processed_at for one in entries])
    return {one.worker for one in events}, until + CLOCKS_AGREE_WITHIN


def _as_settled(records: Iterable[Record]) -> list[tuple[Record, int]]:
    """Those of which something counts, and where it ends."""
    records = list(records)
    until: dict[int, int] = {}
    for one in records:
        if one.settled:
            until[one.epoch] = min(one.to_ms, until.get(one.epoch, one.to_ms))
    ends = ((one, min(one.to_ms, until.get(one.epoch, one.to_ms))) for one in records)
    return [(one, end) for one, end in ends if end > one.from_ms]


def _ranges(pieces: Iterable[Piece]) -> list[Range]:
    return [(one.from_ms, one.to_ms) for one in pieces]


def _has(log: Log, at: datetime) -> bool:
    return log.closed or log.complete_until >= at


def _names(tenants: Sequence[UUID], but: UUID) -> str:
    return ", ".join(sorted(str(tenant) for tenant in tenants if tenant != but)[:3])
