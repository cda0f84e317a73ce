"""NeMo's pipeline beside our engine: the same model, the same audio, in one process, in turn.

Every stream is in every step, as in a machine that is just kept busy. A round is some steps of each contender
on the same chunks; each round begins with another of them, and rates are medians over rounds. A run in which
they do not say the same of every stream fails.

`ours` is the whole engine as the worker's loop drives it, with speech detection, endpointing, words, partials
and finals; `nemo` is its pipeline with endpointing, words and partials; `recogniser` is ours from samples to
tokens, which is what remains without speech detection and all that.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import median
from typing import TYPE_CHECKING, Any

from tests.benchmarks import machine, measure, memory
from tests.benchmarks.endless import Audio

if TYPE_CHECKING:
    from tests.benchmarks.contenders import Contender

STREAMS = (1, 8, 32, 64, 128)
ROUNDS, MINUTES, WARM_UP_STEPS = 7, 60, 3
TARGET_STREAMS, TARGET_RATIO = 64, 2.0
PART_OF_A_CHUNK = 0.6  # that the last chunk of every stream holds
NAMES = ("ours", "nemo", "recogniser")

Row = dict[str, Any]


class Disagreement(Exception):
    """Our engine and NeMo's pipeline heard different things."""


def run(
    streams: Sequence[int] = STREAMS,
    model: str = "",
    right: int = 1,
    device: str = "cpu",
    threads: int = 0,
    rounds: int = ROUNDS,
    steps: int = 0,
    minutes: int = MINUTES,
    *,
    memory_of_streams: bool = True,
) -> dict[str, Any]:
    path = machine.need_for("nemo", model)
    assert path is not None
    with _torch_threads(threads) as threads:
        settings = memory.Settings(str(path), right, device, threads)
        print(
            f"engine: NeMo's pipeline beside ours on {path.name}, context {right}, fp32, {device}, {threads} "
            f"threads; {' '.join(map(str, streams))} streams, {rounds} rounds, then {minutes} minutes of "
            "audio through one stream."
        )
        _print(HEAD)
        rows = []
        for count in streams:
            rows.append(_compare(settings, count, rounds, steps or steps_in_a_round(count)))
            _print(_line(rows[-1]))
    held = memory.a_stream(settings) if memory_of_streams else None
    if held:
        print(f"\nMemory of a stream: {_held(held)}.", flush=True)
    hour = memory.long_stream(settings, minutes) if minutes else None
    if hour:
        print(
            f"One stream for {minutes} minutes of audio: {hour['rss_mb'][0]:.1f} MB at its start, "
            f"{hour['rss_mb_early']:.1f} after ten, {hour['rss_mb'][-1]:.1f} at its end; "
            f"a step {hour['step_ms'][0]:.2f} ms in the first tenth, {hour['step_ms'][-1]:.2f} in the last."
        )
    figures = {
        "model": path.name,
        "right": right,
        "device": device,
        "threads": threads,
        "rounds": rounds,
        "rows": rows,
        "memory_of_a_stream": held,
        "long_stream": hour,
    }
    said = verdict(rows, hour)
    print(f"\n{said}")
    return {**figures, "verdict": said}


@contextmanager
def _torch_threads(wanted: int) -> Iterator[int]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(wanted or before)
    try:
        yield wanted or before
    finally:
        torch.set_num_threads(before)


# ---- speed


def _compare(settings: memory.Settings, count: int, rounds: int, steps: int) -> Row:
    everybody = {name: settings.make(name, count) for name in NAMES}
    audio = Audio(next(iter(everybody.values())).chunk_samples)
    for contender in everybody.values():
        contender.open(count)
        for step in range(WARM_UP_STEPS):
            contender.step(audio.block(step, count))
        contender.close(audio.block(WARM_UP_STEPS, count))
    texts, times = _race(everybody, audio, count, rounds, steps)
    agree(texts)
    return row(count, times, sum(len(text.split()) for text in texts["ours"]))


def _race(
    everybody: Mapping[str, Contender], audio: Audio, count: int, rounds: int, steps: int
) -> tuple[dict[str, list[str]], dict[str, list[list[float]]]]:
    """What each heard of every stream, and for each the seconds of its steps, by round."""
    times: dict[str, list[list[float]]] = {name: [] for name in everybody}
    for contender in everybody.values():
        contender.open(count)
    for number in range(rounds):
        blocks = [audio.block(number * steps + step, count) for step in range(steps)]
        for name in rotated(list(everybody), number):
            contender, taken = everybody[name], []
            gc.collect()  # nobody pays for what another left behind
            for block in blocks:
                began = time.perf_counter()
                contender.step(block)
                taken.append(time.perf_counter() - began)
            times[name].append(taken)
    rest = audio.block(rounds * steps, count)
    rest = rest[:, : int(rest.shape[1] * PART_OF_A_CHUNK)]
    return {name: contender.close(rest) for name, contender in everybody.items()}, times


def steps_in_a_round(count: int) -> int:
    """Fewer where they are longer."""
    return max(10, min(50, 1000 // count))


def rotated(names: Sequence[str], by: int) -> list[str]:
    return [names[(by + index) % len(names)] for index in range(len(names))]


def agree(texts: Mapping[str, Sequence[str]]) -> None:
    """By letters: an utterance may end within a word for one and not for the other."""
    heard = {name: ["".join(text.split()) for text in each] for name, each in texts.items()}
    ours = heard["ours"]
    for name, theirs in heard.items():
        wrong = [index for index, pair in enumerate(zip(ours, theirs, strict=True)) if pair[0] != pair[1]]
        if wrong:
            shown = ", ".join(map(str, wrong[:8]))
            raise Disagreement(
                f"ours and {name} heard different things in {len(wrong)} of {len(ours)} streams ({shown})"
            )
    if not any(ours):
        raise Disagreement("nobody heard a word, so nothing shows that they hear the same")


def row(count: int, times: Mapping[str, Sequence[Sequence[float]]], words: int) -> Row:
    """`times` are the seconds of steps, by contender and round."""
    found: Row = {"streams": count, "words": words}
    rates = {name: [count * len(one) / sum(one) for one in rounds] for name, rounds in times.items()}
    for name, rounds in times.items():
        steps = [1000 * seconds for one in rounds for seconds in one]
        found[f"{name}_rows_per_s"] = round(median(rates[name]), 2)
        found[f"{name}_step_p50_ms"] = _rounded(measure.percentile(steps, 50))
        found[f"{name}_step_p95_ms"] = _rounded(measure.percentile(steps, 95))
    pairs = [ours / nemo for ours, nemo in zip(rates["ours"], rates["nemo"], strict=True)]
    found["ratio"] = round(found["ours_rows_per_s"] / found["nemo_rows_per_s"], 3)
    found["ratio_of_rounds"] = [round(min(pairs), 3), round(max(pairs), 3)]
    return found


# ---- what is said of it


HEAD = (
    "streams",
    "ours rows/s",
    "NeMo rows/s",
    "ratio",
    "ours p50",
    "p95",
    "NeMo p50",
    "p95",
    "recogniser",
    "p50",
    "p95",
)


def _line(one: Row) -> tuple[str, ...]:
    return (
        str(one["streams"]),
        f"{one['ours_rows_per_s']:.0f}",
        f"{one['nemo_rows_per_s']:.0f}",
        f"x{one['ratio']:.2f}",
        f"{one['ours_step_p50_ms']:.1f} ms",
        f"{one['ours_step_p95_ms']:.1f} ms",
        f"{one['nemo_step_p50_ms']:.1f} ms",
        f"{one['nemo_step_p95_ms']:.1f} ms",
        f"{one['recogniser_rows_per_s']:.0f}",
        f"{one['recogniser_step_p50_ms']:.1f} ms",
        f"{one['recogniser_step_p95_ms']:.1f} ms",
    )


def _held(held: Mapping[str, Mapping[str, float]]) -> str:
    return "; ".join(
        f"{name} {one['held_kb']:.0f} KB in arenas and state, {one['rss_kb']:.0f} KB of the process"
        for name, one in held.items()
    )


def verdict(rows: Sequence[Row], hour: Mapping[str, Any] | None) -> str:
    lines = []
    for one in rows:
        least = {1: 1.0, TARGET_STREAMS: TARGET_RATIO}.get(one["streams"])
        if least is not None:
            plural = "stream" if one["streams"] == 1 else "streams"
            lines.append(
                f"At {one['streams']} {plural} at least x{least:g} of NeMo's rows a second: "
                f"x{one['ratio']:.2f}, {_said(one['ratio'] >= least)}."
            )
    if hour:
        lines.append(
            f"Memory within {memory.FLAT_MB:g} MB from the tenth minute to the last: "
            f"{hour['growth_mb']:+.1f} MB, {_said(hour['growth_mb'] <= memory.FLAT_MB)}."
        )
    return "\n".join(lines)


def _said(met: bool) -> str:
    return "met" if met else "MISSED"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _print(cells: Sequence[str]) -> None:
    print("".join(f"{cell:>13}" for cell in cells), flush=True)
