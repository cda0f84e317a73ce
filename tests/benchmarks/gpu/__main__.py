"""How many streams one GPU holds: one command, under nine minutes, with no model, no network and no gateway.

python -m tests.benchmarks.gpu                       the 0.6 B architecture on a GPU
python -m tests.benchmarks.gpu --tiny --device cpu   the same in small, to see that it runs

First that our step says what NeMo's modules say; then, for each look-ahead, steps as fast as they go, paced
streams through the worker's own loop until they are late, and NeMo's pipeline. What was found is in
var/bench/gpu.json from the first minute on. NeMo for a machine that lacks it: `make gpu-wheels`.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
import torch

from tests.benchmarks import machine
from tests.benchmarks.gpu import report as reports
from tests.benchmarks.gpu.report import Report

MINUTES = 8.5
FOR_NEMO_S = 25.0  # kept of each context's time
OVER_S = 20.0  # what hangs is ended so long after its time
LEVELS = (64, 128, 256, 384, 512, 768, 1000, 1250, 1500, 2000, 2500)
FLAT_OUT = (1, 8, 64, 128, 256, 512, 768, 1024)
CONTEXTS = (1, 0, 6, 13)
MEMORY = 0.6  # of what is free on the GPU may be of streams
CALIBRATION = 8  # streams by which the rate of tokens is set
CUT_SHORT = 3


@dataclass(frozen=True)
class Plan:
    tiny: bool
    device: torch.device
    dtype: str
    contexts: Sequence[int]
    levels: Sequence[int]
    flat_out: Sequence[int]
    settle_s: float
    measure_s: float
    step_s: float
    heard: tuple[int, float]  # streams and seconds whose tokens are compared


def main(arguments: list[str]) -> int:
    options = read(arguments)
    plan = planned(options)
    # Of the worker's log what is worth a warning: it says of each stream when it came and went.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("warning"))
    if plan.device.type == "cpu":
        torch.set_num_threads(1)
    report = Report(Path(options.out) / "gpu.json", about(plan))
    end = time.monotonic() + 60 * options.minutes
    watchdog = threading.Timer(60 * options.minutes + OVER_S, cut_short, [report])
    watchdog.daemon = True
    watchdog.start()
    try:
        measure(plan, report, lambda: end - time.monotonic())
    finally:
        watchdog.cancel()
        print(f"\n{reports.table(report.figures)}\n\n{reports.verdict(report.figures)}", flush=True)
    if "wrong" in report.figures:
        print(f"Our step does not say what NeMo's modules say: {report.figures['wrong']}.", file=sys.stderr)
        return 1
    return 0


def read(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.gpu", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--tiny", action="store_true", help="a small network, few streams, seconds")
    parser.add_argument("--device", default="auto", choices=("auto", "cuda", "cpu"))
    parser.add_argument("--dtype", default="", choices=("", "float32", "bfloat16"))
    parser.add_argument("--right", default="", help="frames of look-ahead, such as 1,0,6,13")
    parser.add_argument("--streams", default="", help="levels of paced streams, such as 256,512,1000")
    parser.add_argument("--minutes", type=float, default=MINUTES, help=f"for all of it; {MINUTES} at first")
    parser.add_argument("--out", default=str(machine.ROOT / "var" / "bench"), help="the folder of gpu.json")
    return parser.parse_args(arguments)


def planned(options: argparse.Namespace) -> Plan:
    cuda = torch.cuda.is_available()
    if options.device == "cuda" and not cuda:
        sys.exit("torch finds no GPU here. --tiny --device cpu shows that the benchmark runs.")
    device = torch.device("cuda" if cuda and options.device != "cpu" else "cpu")
    if device.type == "cpu" and not options.tiny:
        sys.exit("On a CPU only --tiny ends within minutes. Nothing of it says how fast a GPU is.")
    contexts, streams = whole_numbers(options.right), whole_numbers(options.streams)
    dtype = options.dtype or ("bfloat16" if device.type == "cuda" else "float32")
    if options.tiny:
        return Plan(
            tiny=True,
            device=device,
            dtype=dtype,
            contexts=contexts or (1,),
            levels=streams or (2, 4),
            flat_out=(1, 4),
            settle_s=0.3,
            measure_s=1.0,
            step_s=0.1,
            heard=(4, 4.0),
        )
    return Plan(
        tiny=False,
        device=device,
        dtype=dtype,
        contexts=contexts or CONTEXTS,
        levels=streams or LEVELS,
        flat_out=FLAT_OUT,
        settle_s=2.0,
        measure_s=5.0,
        step_s=1.0,
        heard=(32, 8.0),
    )


def whole_numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(",") if part)


def about(plan: Plan) -> dict[str, Any]:
    try:
        where: dict[str, Any] = machine.describe()
    except OSError:  # no git there
        where = {}
    cuda = plan.device.type == "cuda"
    gpu = torch.cuda.get_device_name() if cuda else None
    return {"where": where, "gpu": gpu, "torch": torch.__version__, "dtype": plan.dtype, "tiny": plan.tiny}


def cut_short(report: Report) -> None:
    report.say("time is up and something hangs: what was found so far is kept")
    print(reports.table(report.figures), flush=True)
    os._exit(CUT_SHORT)


def measure(plan: Plan, report: Report, time_left: Callable[[], float]) -> None:
    warnings.filterwarnings("ignore")  # NeMo and what it imports warn of much that is nothing to us
    report.say(f"{'the tiny' if plan.tiny else 'the 0.6 B'} network on {report.figures['gpu'] or 'a CPU'}")
    from inference_worker.engines.nemo import loading

    loading._libraries()
    from tests.benchmarks.gpu import correctness, network, sounds

    size = network.SMALL if plan.tiny else network.LARGE
    with tempfile.TemporaryDirectory() as folder:
        net = network.build(size, Path(folder))
    report.say(f"built: {sum(part.numel() for part in net.parameters()) / 1e6:.1f} M parameters")
    streams, seconds = plan.heard
    audio = sounds.floats(streams, 0, round(seconds * sounds.RATE))
    right = plan.contexts[0]
    exact = network.prepare(net, right, "float32", plan.device)
    network.make_it_talk(exact, audio[:CALIBRATION])
    rate = network.set_token_rate(exact, audio[:CALIBRATION])
    report.keep(network=size.name, tokens_per_s=round(rate, 2))
    report.say(f"it says {rate:.2f} tokens a second")
    reference = correctness.reference(exact, audio)
    found = {"fp32": correctness.compare(reference, correctness.ours(exact, audio))}
    report.keep(correctness=found)
    report.say(f"correctness, fp32: {found['fp32']}")
    try:
        correctness.check(found["fp32"])
    except correctness.Wrong as error:  # what it costs is of interest all the same
        report.keep(wrong=str(error))
        report.say(f"WRONG: {error}")
    if plan.dtype != "float32":
        served = network.prepare(net, right, plan.dtype, plan.device)
        found[plan.dtype] = correctness.compare(reference, correctness.ours(served, audio))
        found[f"{plan.dtype}, NeMo's modules"] = correctness.compare(
            reference, correctness.reference(served, audio)
        )
        report.keep(correctness=found)
        report.say(f"correctness, {plan.dtype}: {found}")
    for number, right in enumerate(plan.contexts):
        share = time_left() / (len(plan.contexts) - number)
        if share < FOR_NEMO_S + plan.settle_s + plan.measure_s and not plan.tiny:
            report.say(f"no time for look-ahead {right}")
            report.figures.setdefault("left_out", []).append(right)
            continue
        end = time.monotonic() + share
        one_context(plan, net, right, audio, report, lambda end=end: end - time.monotonic())
    report.keep(complete=True)
    report.say("done")


def one_context(
    plan: Plan, net: Any, right: int, heard: Any, report: Report, time_left: Callable[[], float]
) -> None:
    from inference_worker.engines.nemo.engine import NemoEngine
    from tests.benchmarks.gpu import flat_out, network, paced

    loaded = network.prepare(net, right, plan.dtype, plan.device)
    rate = network.set_token_rate(loaded, heard[:CALIBRATION])
    chunk_ms = 80 * (right + 1)
    found: dict[str, Any] = {"right": right, "chunk_ms": chunk_ms, "tokens_per_s": round(rate, 2)}
    found |= {"flat_out": [], "paced": [], "nemo": []}
    report.figures["contexts"].append(found)

    def keeper(part: str) -> Callable[[dict[str, Any]], None]:
        def keep(row: dict[str, Any]) -> None:
            found[part].append(row)
            report.keep()
            report.say(f"{chunk_ms} ms, {part}: {row}")

        return keep

    levels = within_memory(plan, net, right)
    before = allocated()
    engine = NemoEngine(loaded, max(levels))
    engine.warm_up()
    found["bytes_a_stream"] = (allocated() - before) // max(levels)
    held = found["bytes_a_stream"] / 1e6
    report.say(f"{chunk_ms} ms: warm, {held:.2f} MB a stream, {rate:.2f} tokens a second")
    steps = [level for level in plan.flat_out if level <= max(levels)]
    ours = flat_out.Ours(engine)
    flat_out.race(ours, steps, plan.step_s, time_left=time_left, keep=keeper("flat_out"))
    ours.close(max(steps))
    pace = paced.Pace(plan.settle_s, plan.measure_s)
    reserve = 0.0 if plan.tiny else FOR_NEMO_S
    asyncio.run(
        paced.climb(engine, levels, pace, time_left=lambda: time_left() - reserve, keep=keeper("paced"))
    )
    if plan.device.type == "cuda":
        found["peak_bytes"] = torch.cuda.max_memory_allocated()
    del engine, ours
    free()
    nemo = flat_out.NeMos(loaded, max(steps), plan.dtype)
    flat_out.race(nemo, steps, plan.step_s, time_left=time_left, keep=keeper("nemo"))
    found["ratio"] = reports.ratio(found)
    report.keep()
    del nemo, loaded
    free()


def within_memory(plan: Plan, net: Any, right: int) -> list[int]:
    """The levels whose streams have room on the GPU; all of them on a CPU."""
    if plan.device.type != "cuda":
        return list(plan.levels)
    encoder = net.encoder
    ring = encoder.att_context_size_all[0][0] + right + 1
    each = 2 * len(encoder.layers) * (ring + 8) * encoder.d_model * (4 if plan.dtype == "float32" else 2)
    room = MEMORY * torch.cuda.mem_get_info()[0]
    return [level for level in plan.levels if level * each <= room] or [plan.levels[0]]


def allocated() -> int:
    return torch.cuda.memory_allocated() if torch.cuda.is_available() else 0


def free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
