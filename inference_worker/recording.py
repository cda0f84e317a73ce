"""What is written of a stream in the inference log, and when.

Nothing that a step processed is told to a gateway before it is written. How much of a stream counts in the
end is written as it leaves: all that the client sent when it ended well, what the gateway has heard of when
that broke it off, else all that was processed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from inference_worker import log_lines
from inference_worker.inference_log import InferenceLog, NotWritten
from inference_worker.log_lines import Described
from inference_worker.streams import Stream
from wire.messages import Abort, Open
from wire.processed import processed_ms

NOBODY = str(UUID(int=0))
# A gateway may break a stream off while the worker's last words of it are on their way.
REMEMBERED = 4096


@dataclass
class _Entry:
    number: int
    of: Described
    start_ms: int
    to_ms: int


@dataclass(frozen=True)
class _Left:
    of: Described
    start_ms: int
    to_ms: int
    input_ms: int | None


class Recorder:
    def __init__(self, log: InferenceLog | None = None, model: str = "") -> None:
        """Without a log, nothing is recorded."""
        self._log, self._model = log, model
        self._numbers = 0
        self._open: dict[Stream, _Entry] = {}
        self._left: OrderedDict[tuple[str, str, int], _Left] = OrderedDict()
        self._unwritten: list[tuple[Described, int]] = []  # how much of a stream counts, of a time of trouble
        if log is not None:
            log.redeclare = self._redeclare
            log.begun = self._begun

    @property
    def trouble(self) -> str | None:
        """Why no stream may be taken; None: all is well."""
        return self._log.trouble if self._log else None

    def opened(self, stream: Stream, opening: Open) -> bool:
        """False when it cannot be recorded, so that it must not be served."""
        if self._log is None:
            return True
        try:
            of = Described(
                stream=stream.id,
                epoch=stream.epoch,
                tenant=str(UUID(opening.tenant)),
                project=str(UUID(opening.project)) if opening.project else NOBODY,
                key=str(UUID(opening.key)) if opening.key else NOBODY,
                kind="live" if stream.live else "recorded",
                model=self._model,
                tags=opening.tags,
            )
            start_ms = processed_ms(stream.start, None)
            now = self._log.now
            self._log.append(now, log_lines.opened(now, self._numbers + 1, of, start_ms))
        except (ValueError, NotWritten):
            return False
        self._numbers += 1
        self._open[stream] = _Entry(self._numbers, of, start_ms, start_ms)
        return True

    def step(self, streams: Sequence[tuple[Stream, bool]]) -> None:
        """What a step has brought these to, and whether they have ended with it. Raises `NotWritten`."""
        if self._log is None:
            return
        going: list[tuple[_Entry, int]] = []
        ended: list[tuple[_Entry, int]] = []
        for stream, over in streams:
            if (entry := self._open.get(stream)) is None:
                continue
            to_ms = processed_ms(stream.processed, stream.input_ms, complete=over)
            if over:
                ended.append((entry, to_ms))
            elif to_ms > entry.to_ms:
                going.append((entry, to_ms))
        if not going and not ended:
            return
        now = self._log.now
        numbered = [[(entry.number, to_ms) for entry, to_ms in part] for part in (going, ended)]
        self._log.append(now, log_lines.step(now, *numbered))
        for entry, to_ms in going + ended:
            entry.to_ms = to_ms
        for stream, over in streams:
            if over and (gone := self._open.pop(stream, None)):
                self._remember(stream, gone, gone.to_ms)

    def left(self, stream: Stream, heard: int | None = None) -> None:
        """It is over here; `heard` is as far as its gateway knows, where it has said so."""
        if self._log is None or (entry := self._open.pop(stream, None)) is None:
            return
        samples = stream.processed if heard is None else min(heard, stream.processed)
        to_ms = max(entry.start_ms, processed_ms(samples, stream.input_ms))
        if heard is None:
            self._remember(stream, entry, to_ms)
        now = self._log.now
        try:
            self._log.append(now, log_lines.step(now, [], [(entry.number, to_ms)]))
        except NotWritten:
            if entry.to_ms > entry.start_ms:
                self._write_later(entry.of, to_ms)

    def _remember(self, stream: Stream, entry: _Entry, to_ms: int) -> None:
        self._left[stream.gateway, stream.id, stream.epoch] = _Left(
            entry.of, entry.start_ms, to_ms, stream.input_ms
        )
        if len(self._left) > REMEMBERED:
            self._left.popitem(last=False)

    def broken_off(self, gateway: str, item: Abort) -> None:
        """The gateway has given up a stream that has left here before it heard so."""
        gone = self._left.pop((gateway, item.stream, item.epoch), None)
        if self._log is None or gone is None or item.processed is None:
            return
        to_ms = max(gone.start_ms, processed_ms(item.processed, gone.input_ms))
        if to_ms >= gone.to_ms:
            return
        now = self._log.now
        try:
            self._log.append(now, log_lines.settled_again(now, gone.of, to_ms))
        except NotWritten:
            self._write_later(gone.of, to_ms)

    def _write_later(self, of: Described, to_ms: int) -> None:
        self._unwritten.append((of, to_ms))
        del self._unwritten[:-REMEMBERED]

    def _redeclare(self, now: float) -> str:
        lines = [
            log_lines.opened(now, entry.number, entry.of, entry.to_ms, again=entry.to_ms > entry.start_ms)
            for entry in self._open.values()
        ]
        return "".join(lines + [log_lines.settled_again(now, *late) for late in self._unwritten])

    def _begun(self) -> None:
        self._unwritten.clear()
