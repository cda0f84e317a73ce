"""Gateways and workers that die, stand still, or lose the time. Nobody who talks may lose a word."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from pathlib import Path

from ops.chaos import beside
from ops.chaos.client import Heard
from ops.chaos.lab import Lab
from ops.chaos.report import Row

SECOND_WORKER = "chaos"
BURST_S = 0.4  # less than makes a worker dead
CLOCK = Path(__file__).parent / "clock"
LOOKS_EVERY_S = 2.0  # at all open sockets, Daphne


def worker_kill(lab: Lab) -> Row:
    demo = lab.demo
    with beside.worker(demo, SECOND_WORKER) as second:

        def kill(heard: Heard) -> None:
            if heard.worker == SECOND_WORKER:
                second.signal(signal.SIGKILL)
            else:
                demo.kill("worker")

        disturbed = lab.disturb(kill)
        demo.wait_well()
    return lab.row(
        "worker_kill", "kill -9 of the worker that hears a stream, with another beside it",
        "the stream goes on at the other one, without a cut", disturbed, disturbed.uncut(),
    )  # fmt: skip


def gateway_kill(lab: Lab) -> Row:
    with beside.gateway(lab.demo) as second:
        disturbed = lab.disturb(lambda heard: second.signal(signal.SIGKILL), [second.url, lab.demo.http_url])
    return lab.row(
        "gateway_kill", "kill -9 of a gateway; its client resumes at another one",
        "it is told where to go on, and hears what it missed", disturbed, disturbed.not_resumed(),
    )  # fmt: skip


def gateway_restart(lab: Lab) -> Row:
    disturbed = lab.disturb(lambda heard: lab.demo.kill("gateway"))
    lab.demo.wait_well()
    return lab.row(
        "gateway_restart", "kill -9 of the gateway; its client resumes there when it is back",
        "it is told where to go on, and hears what it missed", disturbed, disturbed.not_resumed(),
    )  # fmt: skip


def worker_slow(lab: Lab) -> Row:
    def stutter(heard: Heard) -> None:
        pid = lab.demo.pid("worker")
        try:
            for _ in range(lab.plan.bursts):
                os.killpg(pid, signal.SIGSTOP)
                time.sleep(BURST_S)
                os.killpg(pid, signal.SIGCONT)
                time.sleep(BURST_S)
        finally:
            os.killpg(pid, signal.SIGCONT)

    before = lab.demo.pid("worker")
    disturbed = lab.disturb(stutter)
    faults = [] if lab.demo.pids.get("worker") == before else ["it was started anew"]
    return lab.row(
        "worker_slow", f"the worker stands still {lab.plan.bursts} times for {BURST_S:g} s",
        "late results, and nothing else", disturbed, [*faults, *disturbed.uncut()],
    )  # fmt: skip


def clock_jump(lab: Lab) -> Row:
    jump_s = lab.plan.jump_s
    with tempfile.TemporaryDirectory(prefix="chaos-clock-") as folder:
        clock = Path(folder) / "ahead"
        clock.write_text("0")
        path = os.pathsep.join(filter(None, (str(CLOCK), os.environ.get("PYTHONPATH", ""))))
        told = {"PYTHONPATH": path, "CHAOS_CLOCK": str(clock), "STREAM_MAX_SECONDS": str(jump_s / 2)}
        with beside.gateway(lab.demo, **told) as second:

            def jump(heard: Heard) -> None:
                clock.write_text(str(jump_s))
                time.sleep(1.1 * LOOKS_EVERY_S)
                clock.write_text(str(-jump_s))

            disturbed = lab.disturb(jump, [second.url])
        faults = [] if clock.with_name("ahead.seen").exists() else ["its clock never jumped"]
    return lab.row(
        "clock_jump",
        f"the wall clock of a gateway goes {jump_s:g} s ahead, and then as far behind",
        "nobody notices: what is waited for is waited for by monotonic clocks",
        disturbed, [*faults, *disturbed.uncut()],
    )  # fmt: skip
