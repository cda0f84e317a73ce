"""How long after the end of speech the final comes, with more and more people talking at once.

N paced streams of real speech go through gateway, Valkey and worker, started a little apart. The run with
one stream is the baseline that the others are compared with, on the same machine in the same minutes.
"""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Sequence
from typing import Any

from tests import recordings
from tests.acceptance.stack import Stack, running_stack
from tests.benchmarks import machine, measure, paced, speech

STREAMS = (1, 2, 4, 6, 8)
APART_S = 1.37
TARGET_STREAMS, TARGET_P95_S = 6, 1.5
ON_TIME_S = 0.1

Row = dict[str, Any]


def run(streams: Sequence[int] = STREAMS, engine: str = "moonshine") -> dict[str, Any]:
    talk = speech.conversation(recordings.samples("two_cities.wav"), recordings.samples("beckett.wav"))
    said = f"{recordings.TWO_CITIES} {recordings.BECKETT}"
    print(
        f"live_speech: {len(talk.utterances)} utterances of real speech in {talk.seconds:.0f} s, "
        f"{' '.join(map(str, streams))} streams at once, engine {engine}; "
        f"about {sum(talk.seconds + n * APART_S + 5 for n in streams) / 60:.0f} minutes."
    )
    rows: list[Row] = []
    with running_stack({"ENGINE": engine, **machine.LET_ALL_IN}) as stack:
        _print(HEAD)
        for count in streams:
            rows.append(_measure(stack, talk, said, count))
            _print(_line(rows[-1], rows[0]))
    verdict = _verdict(rows)
    print(f"\n{verdict}")
    return {"utterances": len(talk.utterances), "seconds": talk.seconds, "rows": rows, "verdict": verdict}


def _measure(stack: Stack, talk: speech.Conversation, said: str, count: int) -> Row:
    used, own, began = machine.cpu_seconds(stack.pids), _own_cpu_seconds(), time.perf_counter()
    takes = asyncio.run(_talk_at_once(stack, talk, count))
    wall = time.perf_counter() - began
    cpu = {name: (after - used[name]) / wall for name, after in machine.cpu_seconds(stack.pids).items()}
    heard = [measure.latencies(take, talk) for take in takes]
    finals = [value for each in heard for value in each.final_s]
    partials = [value for each in heard for value in each.first_partial_s]
    return {
        "streams": count,
        "final_p50_s": measure.percentile(finals, 50),
        "final_p95_s": measure.percentile(finals, 95),
        "first_partial_p50_s": measure.percentile(partials, 50),
        "first_partial_p95_s": measure.percentile(partials, 95),
        "partials_per_second": measure.partials_per_second(takes, talk),
        "word_error_rate": sum(recordings.word_error_rate(said, take.text) for take in takes) / count,
        "utterances_lost": sum(each.lost for each in heard),
        "cpu_cores": cpu,
        "client_cpu_cores": (_own_cpu_seconds() - own) / wall,
        "latest_packet_s": max(take.latest_packet_s for take in takes),
        "finals_s": [round(value, 3) for value in finals],
    }


async def _talk_at_once(stack: Stack, talk: speech.Conversation, count: int) -> list[paced.Take]:
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(paced.stream(stack.ws_url, stack.api_key, talk, number * APART_S))
            for number in range(count)
        ]
    return [task.result() for task in tasks]


def _own_cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


HEAD = (
    "streams",
    "final p50",
    "final p95",
    "to N=1",
    "partial p50",
    "p95",
    "a second",
    "WER",
    "lost",
    "cores",
)


def _line(row: Row, base: Row) -> tuple[str, ...]:
    final, first = row["final_p95_s"], base["final_p95_s"]
    late = row["latest_packet_s"] > ON_TIME_S
    return (
        f"{row['streams']}{'*' if late else ''}",
        _seconds(row["final_p50_s"]),
        _seconds(final),
        f"x{final / first:.2f}" if final and first else "-",
        _seconds(row["first_partial_p50_s"]),
        _seconds(row["first_partial_p95_s"]),
        f"{row['partials_per_second']:.1f}",
        f"{row['word_error_rate']:.1%}",
        str(row["utterances_lost"]),
        f"{sum(row['cpu_cores'].values()):.2f}",
    )


def _print(cells: Sequence[str]) -> None:
    print("".join(f"{cell:>12}" for cell in cells), flush=True)


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"


def _verdict(rows: Sequence[Row]) -> str:
    notes = []
    if any(row["latest_packet_s"] > ON_TIME_S for row in rows):
        notes.append(
            f"* some packets left more than {ON_TIME_S * 1000:.0f} ms late: the client itself was starved."
        )
    for row in rows:
        if row["streams"] == TARGET_STREAMS and row["final_p95_s"] is not None:
            met = "met" if row["final_p95_s"] <= TARGET_P95_S and not row["utterances_lost"] else "MISSED"
            notes.append(
                f"Target, {TARGET_STREAMS} streams, final p95 within {TARGET_P95_S} s and none lost: {met}."
            )
    return "\n".join(notes)
