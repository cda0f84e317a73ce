"""`make sweep`: chunk x wait x streams, to find what suits this machine.

python -m tests.benchmarks.sweep                        the whole grid, with the nemo engine
python -m tests.benchmarks.sweep quick=1                a small one with the scripted engine, to see it work
python -m tests.benchmarks.sweep right=0,1 wait=5,adaptive streams=1,50,100 seconds=30

The service is started anew for each chunk (ATT_RIGHT_CONTEXT) and wait (BATCH_WAIT_MS); crowds of paced
streams then go through gateway, Valkey and worker, the smallest first. Where one fails the SLO, larger ones
are skipped, unless all=1. What was measured is kept as it comes: an interrupted sweep that is started again
with the same settings and commit goes on. At its end there are a CSV, a JSON and an SVG under var/bench/.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.acceptance.stack import Stack, running_stack
from tests.benchmarks import machine, sweep_plot, sweep_report, talks, worker_path
from tests.benchmarks.sweep_report import FAIL, SKIPPED, Slo

KEEP_IN = machine.ROOT / "var" / "bench"
ADAPTIVE, ADAPTIVE_MS = "adaptive", "5,15,40"

Row = dict[str, Any]


NORMAL = Slo()


@dataclass(frozen=True)
class Grid:
    engine: str = "nemo"
    model: str = ""
    device: str = "auto"
    right: tuple[int, ...] = (0, 1, 6)
    wait: tuple[str, ...] = ("5", "10", "30", ADAPTIVE)
    streams: tuple[int, ...] = (1, 10, 50, 100, 150)
    seconds: float = 20.0
    all: bool = False
    slo: Slo = NORMAL

    def cells(self) -> Iterator[tuple[int, str]]:
        return ((right, wait) for right in self.right for wait in self.wait)


QUICK = Grid(engine="scripted", right=(1,), wait=("5",), streams=(1, 3), seconds=3.0)


class WrongOption(Exception):
    """An argument that the sweep does not know."""


def main(arguments: Sequence[str], keep_in: Path = KEEP_IN) -> int:
    try:
        grid = read(arguments)
        machine.need_for(grid.engine, grid.model)
    except (WrongOption, machine.CannotMeasure) as error:
        print(error, file=sys.stderr)
        return 2
    keep_in.mkdir(parents=True, exist_ok=True)
    if not machine.is_quiet():
        print("Note: this machine is busy; the figures will suffer.")
    where = machine.describe()
    notes = Notes(keep_in / "sweep.jsonl", about(grid, where))
    try:
        rows = sweep(grid, notes)
    except KeyboardInterrupt:
        print("\nInterrupted; the same command goes on from here.")
        return 130
    said = sweep_report.verdict(rows, grid.slo)
    name = keep_in / f"sweep-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    found = {"benchmark": "sweep", "machine": where, "grid": asdict(grid), "slo": str(grid.slo)}
    best = sweep_report.best(rows)
    everything = {**found, "rows": rows, "best": best, "verdict": said}
    name.with_suffix(".json").write_text(json.dumps(everything, indent=2) + "\n")
    name.with_suffix(".csv").write_text(sweep_report.as_csv(rows))
    name.with_suffix(".svg").write_text(sweep_plot.svg(rows, grid.slo, f"{grid.engine} on {where['cpu']}"))
    notes.path.unlink()
    print(f"\n{said}\nKept in {name}.csv, .json and .svg")
    return 0


def read(arguments: Sequence[str]) -> Grid:
    given = dict(argument.partition("=")[::2] for argument in arguments)
    grid = QUICK if given.pop("quick", "") not in ("", "0") else Grid()
    for name, text in given.items():
        if name not in OPTIONS:
            raise WrongOption(f"{name}? There are quick=1, {', '.join(OPTIONS)}")
        try:
            grid = OPTIONS[name](grid, text)
        except ValueError as error:
            raise WrongOption(f"{name}={text}? {error}") from None
    return grid


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(sorted({int(part) for part in text.split(",")}))


def _waits(text: str) -> tuple[str, ...]:
    waits = tuple(text.split(","))
    for one in waits:
        if one != ADAPTIVE and not 0 <= float(one) <= 1000:
            raise ValueError(f"a wait is of 0 to 1000 ms, or {ADAPTIVE}")
    return waits


OPTIONS: dict[str, Callable[[Grid, str], Grid]] = {
    "engine": lambda grid, text: replace(grid, engine=text),
    "model": lambda grid, text: replace(grid, model=text),
    "device": lambda grid, text: replace(grid, device=text),
    "right": lambda grid, text: replace(grid, right=_numbers(text)),
    "wait": lambda grid, text: replace(grid, wait=_waits(text)),
    "streams": lambda grid, text: replace(grid, streams=_numbers(text)),
    "seconds": lambda grid, text: replace(grid, seconds=float(text)),
    "all": lambda grid, text: replace(grid, all=text not in ("", "0")),
    "slo_ttft_ms": lambda grid, text: replace(grid, slo=replace(grid.slo, ttft_p95_ms=float(text))),
    "slo_drift_ms": lambda grid, text: replace(grid, slo=replace(grid.slo, drift_p99_ms=float(text))),
}


# ---- what is known already


def about(grid: Grid, where: Mapping[str, object]) -> Row:
    """Figures are only put beside others that agree in all this."""
    names = ("engine", "model", "device", "seconds")
    return {**{name: getattr(grid, name) for name in names}, "commit": where["commit"], "cpu": where["cpu"]}


class Notes:
    """The rows of a sweep that is under way: a line that says what they are of, then a line for each."""

    def __init__(self, path: Path, header: Row) -> None:
        self.path = path
        self._rows: dict[tuple[int, str, int], Row] = {}
        lines = path.read_text().splitlines() if path.exists() else []
        if lines and _object(lines[0]) == header:
            for row in map(_object, lines[1:]):
                if row is not None:  # the last line of one that was killed may be half a line
                    self._rows[_key(row)] = row
            print(f"Going on with a sweep that was interrupted after {len(self._rows)} cells.")
        elif lines:
            print("A sweep that was interrupted had other settings or another commit, so this begins anew.")
        text = "".join(json.dumps(one) + "\n" for one in [header, *self._rows.values()])
        path.write_text(text)

    def of(self, right: int, wait: str, streams: int) -> Row | None:
        return self._rows.get((right, wait, streams))

    def add(self, row: Row) -> None:
        self._rows[_key(row)] = row
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")


def _key(row: Row) -> tuple[int, str, int]:
    return row["right"], row["wait_ms"], row["streams"]


def _object(line: str) -> Row | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


# ---- the sweep


def sweep(grid: Grid, notes: Notes) -> list[Row]:
    cells = list(grid.cells())
    print(
        f"sweep: engine {grid.engine}, {len(cells)} starts of the service, {len(grid.streams)} crowds each, "
        f"{grid.seconds:.0f} s a crowd: up to "
        f"{len(cells) * (40 + len(grid.streams) * (grid.seconds + 3)) / 60:.0f} minutes. SLO: {grid.slo}."
    )
    _print(HEAD)
    rows = []
    for number, (right, wait) in enumerate(cells, 1):
        for row in _cell(grid, notes, right, wait):
            rows.append(row)
            _print(_line(row, f"{number}/{len(cells)}"))
    return rows


def _cell(grid: Grid, notes: Notes, right: int, wait: str) -> Iterator[Row]:
    """All crowds of a chunk and a wait. The service is started when one of them has to be measured."""
    todo = list(grid.streams)
    failed_at = 0
    while todo and (row := notes.of(right, wait, todo[0])):
        judged = sweep_report.judged(row, grid.slo)
        yield judged
        todo.pop(0)
        if judged["slo"] == FAIL and not grid.all:
            failed_at = row["streams"]
            break
    if todo and not failed_at:
        failed_at = yield from _measured(grid, notes, right, wait, todo)
    for streams in todo:
        yield {**_named(grid, right, wait, streams), "slo": SKIPPED, "why_not": f"failed at {failed_at}"}


def _measured(grid: Grid, notes: Notes, right: int, wait: str, todo: list[int]) -> Generator[Row, None, int]:
    """Takes from `todo` what it measures; says how many streams were too many, if any."""
    chunk_ms, talk = talks.chunk_ms(grid.engine, right), talks.talk(grid.engine)
    try:
        with running_stack(settings(grid, right, wait)) as stack:
            while todo:
                streams, before = todo[0], worker_metrics(stack)
                measured = worker_path.measure_one(stack, talk, streams, grid.seconds, chunk_ms)
                row = {**_named(grid, right, wait, streams), **measured}
                row |= from_worker(before, worker_metrics(stack))
                notes.add(row)
                todo.pop(0)
                judged = sweep_report.judged(row, grid.slo)
                yield judged
                if judged["slo"] == FAIL and not grid.all:
                    return streams
    except AssertionError as error:  # the service did not start, or ended
        if not todo:
            raise  # everything is measured; it did not stop
        streams = todo.pop(0)
        why = f"no service: {reason(str(error))}"
        yield {**_named(grid, right, wait, streams), "slo": FAIL, "why_not": why}
        return streams
    return 0


def reason(said: str) -> str:
    """Of all that a service said at its end, the line that tells why."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return next((line for line in reversed(lines) if "cannot start" in line), lines[-1] if lines else "?")


def settings(grid: Grid, right: int, wait: str) -> dict[str, str]:
    return {
        **worker_path.settings(grid.engine, grid.model, right),
        "DEVICE": grid.device,
        "BATCH_WAIT_MS": ADAPTIVE_MS if wait == ADAPTIVE else ",".join([wait] * 3),
        "MAX_BATCH_LATENCY_MS": "1000",  # the wait is what it is
    }


def _named(grid: Grid, right: int, wait: str, streams: int) -> Row:
    chunk_ms = talks.chunk_ms(grid.engine, right)
    return {"right": right, "chunk_ms": chunk_ms, "wait_ms": wait, "streams": streams}


# ---- what the worker says of itself


def worker_metrics(stack: Stack) -> dict[str, float]:
    port = stack.environ["WORKER_PORT"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        families = text_string_to_metric_families(answer.read().decode())
        return {sample.name: sample.value for family in families for sample in family.samples}


def from_worker(before: Mapping[str, float], after: Mapping[str, float]) -> Row:
    def added(name: str) -> float | None:
        return after[name] - before.get(name, 0) if name in after else None

    rows, steps = added("worker_step_rows_sum"), added("worker_step_rows_count")
    peak = after.get("worker_vram_peak_bytes")
    return {
        "rows_a_step": round(rows / steps, 2) if rows and steps else None,
        "vram_peak_mb": None if peak is None else round(peak / 2**20, 1),
        "cuda_alloc_retries": added("worker_cuda_alloc_retries_total"),
    }


HEAD = ("chunk", "wait", "streams", "TTFT p50", "p95", "result p95", "drift p99", "x real", "errors", "SLO")


def _line(row: Row, progress: str) -> tuple[str, ...]:
    def ms(name: str) -> str:
        value = row.get(name)
        return "-" if value is None else f"{value:.0f} ms"

    return (
        f"{row['chunk_ms']} ms",
        str(row["wait_ms"]),
        str(row["streams"]),
        ms("ttft_p50_ms"),
        ms("ttft_p95_ms"),
        ms("chunk_to_result_p95_ms"),
        ms("drift_p99_ms"),
        f"{row['times_real_time']:.1f}" if "times_real_time" in row else "-",
        str(row.get("errors", "-")),
        f"{row['slo']}  [{progress}] {row['why_not']}",
    )


def _print(cells: Sequence[str]) -> None:
    print("".join(f"{cell:>11}" for cell in cells[:-1]) + f"  {cells[-1]}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
