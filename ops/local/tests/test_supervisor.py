"""The supervisor with children of a line each."""

import io
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ops.local import supervisor as module
from ops.local.console import Console
from ops.local.errors import StartFailed
from ops.local.running import born
from ops.local.service import Service
from ops.local.supervisor import StopRequested, Supervisor, back_off

# Writes its name when it is up and when it is asked to stop.
OBEDIENT = """
import pathlib, signal, sys, time
journal, name = pathlib.Path(sys.argv[1]), sys.argv[2]
def say(what):
    with journal.open("a") as file:
        file.write(f"{name} {what}\\n")
def stop(*_):
    say("stopped")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
say("up")
while True:
    time.sleep(0.01)
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
time.sleep(60)
"""


@pytest.fixture
def out():
    return io.StringIO()


@pytest.fixture
def supervisor(out, monkeypatch):
    monkeypatch.setattr(module, "FIRST_BACK_OFF_S", 0.05)
    monkeypatch.setattr(module, "ASK_READY_EVERY_S", 0.01)
    monkeypatch.setattr(module, "TICK_S", 0.01)
    supervisor = Supervisor(Console(out))
    yield supervisor
    supervisor.stops = 0
    for child in supervisor.children:
        object.__setattr__(child.service, "stop_timeout", 0.0)
    supervisor.down()


def service(tmp_path, name, code, *arguments, **changes):
    log = tmp_path / f"{name}.log"
    ready = changes.pop("ready", lambda: None if log.exists() and "up" in log.read_text() else "not up")
    command = (sys.executable, "-c", code, *map(str, arguments))
    return Service(name=name, command=command, log=log, ready=ready, stop_timeout=5, **changes)


def obedient(tmp_path, name):
    journal = tmp_path / "journal"
    return service(
        tmp_path, name, OBEDIENT, journal, name,
        ready=lambda: None if journal.exists() and f"{name} up" in journal.read_text() else "not up",
    )  # fmt: skip


def until(condition, supervisor=None, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        if supervisor:
            supervisor.tick(time.monotonic())
        time.sleep(0.01)


def test_it_starts_in_order_and_ends_in_the_reverse_one(tmp_path, supervisor):
    names = ["valkey", "worker", "gateway"]
    for name in names:
        supervisor.up([obedient(tmp_path, name)])
    pids = list(supervisor.pids.values())
    supervisor.down()
    lines = (tmp_path / "journal").read_text().splitlines()
    assert lines == [f"{name} up" for name in names] + [f"{name} stopped" for name in reversed(names)]
    assert not any(born(pid) for pid in pids)


def test_services_given_together_start_together(tmp_path, supervisor, out):
    barrier = """
import pathlib, sys, time
mine, other = map(pathlib.Path, sys.argv[1:])
mine.touch()
while not other.exists():
    time.sleep(0.01)
print("up", flush=True)
time.sleep(60)
"""
    a, b = tmp_path / "a", tmp_path / "b"
    supervisor.up([service(tmp_path, "one", barrier, a, b), service(tmp_path, "two", barrier, b, a)])
    assert out.getvalue().count("one") == out.getvalue().count("two") == 1


def test_a_killed_process_is_started_again_and_it_says_so(tmp_path, supervisor, out):
    seen = []
    supervisor.on_change(lambda pids: seen.append(dict(pids)))
    supervisor.up([obedient(tmp_path, "worker")])
    first = supervisor.pids["worker"]
    os.kill(first, signal.SIGKILL)
    until(lambda: "is back after" in out.getvalue(), supervisor)
    assert "worker was killed by SIGKILL; starting it again in 0.05 s" in out.getvalue()
    assert str(tmp_path / "worker.log") in out.getvalue()
    assert supervisor.pids["worker"] != first
    assert seen == [{"worker": first}, {}, supervisor.pids]


def test_one_that_is_held_is_not_started_again_until_it_is_let_go(tmp_path, supervisor):
    hold = tmp_path / "hold"
    held = replace(obedient(tmp_path, "one"), held=hold.exists)
    supervisor.up([held])
    hold.touch()
    os.kill(supervisor.pids["one"], signal.SIGKILL)
    until(lambda: not supervisor.pids, supervisor)
    start_at = supervisor.children[0].start_at
    until(lambda: time.monotonic() > start_at, supervisor)
    supervisor.tick(time.monotonic())
    assert not supervisor.pids
    hold.unlink()
    until(lambda: supervisor.pids, supervisor)


def test_what_a_dead_process_had_started_goes_with_it(tmp_path, supervisor):
    code = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, "up", flush=True)
time.sleep(60)
"""
    supervisor.up([service(tmp_path, "celery", code)])
    child = int((tmp_path / "celery.log").read_text().split()[0])
    os.kill(supervisor.pids["celery"], signal.SIGKILL)
    until(lambda: not born(child), supervisor)


def test_back_off_doubles_up_to_a_limit():
    assert [back_off(deaths) for deaths in range(1, 9)] == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_one_that_keeps_dying_at_start_stops_everything_with_a_sentence(tmp_path, supervisor, out):
    with pytest.raises(StartFailed) as failure:
        supervisor.up([service(tmp_path, "gateway", "raise SystemExit('no such model')")])
    assert str(failure.value).startswith("gateway exited with status 1, 3 times in a row.")
    assert "no such model" in str(failure.value)
    assert out.getvalue().count("starting it again") == 2


def test_one_that_says_why_it_cannot_start_is_not_asked_again(tmp_path, supervisor, out):
    code = """
import sys
print("a warning of a library")
print("The worker cannot start: MODEL is x.nemo, and there is no such file.\\nSet another.")
sys.exit(2)
"""
    with pytest.raises(StartFailed) as failure:
        supervisor.up([service(tmp_path, "worker", code)])
    said = str(failure.value)
    assert said.startswith(
        "worker cannot start: MODEL is x.nemo, and there is no such file.\n    Set another."
    )
    assert str(tmp_path / "worker.log") in said
    assert "a warning" not in said
    assert "starting it again" not in out.getvalue()


def test_a_refusal_without_a_sentence_shows_the_end_of_the_log(tmp_path, supervisor):
    with pytest.raises(StartFailed, match=r"worker cannot start\.\n +no module x\nIts log: "):
        supervisor.up([service(tmp_path, "worker", "print('no module x'); raise SystemExit(2)")])


def test_one_that_was_ready_is_started_again_whatever_it_says(tmp_path, supervisor, out):
    flag = tmp_path / "flag"
    code = """
import pathlib, sys, time
if not pathlib.Path(sys.argv[1]).exists():
    pathlib.Path(sys.argv[1]).touch()
    print("up", flush=True)
    time.sleep(0.2)
    sys.exit(2)
time.sleep(60)
"""
    supervisor.up([service(tmp_path, "worker", code, flag)])
    until(lambda: "is back after" in out.getvalue(), supervisor)
    assert "worker exited with status 2; starting it again in 0.05 s" in out.getvalue()


def test_one_that_keeps_dying_later_stops_everything_too(tmp_path, supervisor, monkeypatch):
    monkeypatch.setattr(module, "DEATHS_LATER", 3)
    flag = tmp_path / "flag"
    code = """
import pathlib, sys, time
if pathlib.Path(sys.argv[1]).exists():
    sys.exit(7)
print("up", flush=True)
time.sleep(60)
"""
    supervisor.up([service(tmp_path, "worker", code, flag)])
    flag.touch()
    os.kill(supervisor.pids["worker"], signal.SIGKILL)
    with pytest.raises(StartFailed, match="exited with status 7, 3 times in a row"):
        until(lambda: False, supervisor)


def test_one_that_never_becomes_ready_stops_everything_with_what_is_missing(tmp_path, supervisor):
    slow = service(
        tmp_path, "worker", "import time; time.sleep(60)", ready=lambda: "loading", start_timeout=0.1
    )
    with pytest.raises(StartFailed, match=r"worker was not ready in 0 s \(loading\)"):
        supervisor.up([slow])


def test_a_program_that_is_not_there_is_a_sentence(tmp_path, supervisor):
    with pytest.raises(StartFailed, match=r"ghost cannot start: .*/ghost is not there"):
        supervisor.up([Service(name="ghost", command=("/nowhere/ghost",), log=tmp_path / "ghost.log")])


def test_a_command_that_must_end_well(tmp_path, supervisor):
    supervisor.complete(service(tmp_path, "migrate", "print('done')"))
    with pytest.raises(StartFailed, match=r"(?s)migrate exited with status 3.*no such column"):
        supervisor.complete(service(tmp_path, "migrate", "print('no such column'); raise SystemExit(3)"))


def test_one_that_does_not_stop_is_killed_after_its_deadline(tmp_path, supervisor, out):
    stubborn = service(tmp_path, "worker", STUBBORN)
    object.__setattr__(stubborn, "stop_timeout", 0.1)
    supervisor.up([stubborn])
    supervisor.down()
    assert "killed" in out.getvalue()


def test_a_second_ctrl_c_hurries(tmp_path, supervisor):
    stubborn = service(tmp_path, "worker", STUBBORN)
    object.__setattr__(stubborn, "stop_timeout", 60)
    supervisor.up([stubborn])
    supervisor.stops = 1
    again = threading.Timer(0.2, lambda: supervisor._on_signal(signal.SIGINT, None))
    began = time.monotonic()
    again.start()
    supervisor.down()
    again.join()
    assert time.monotonic() - began < 10


def test_a_stop_while_it_starts_is_heard(tmp_path, supervisor):
    threading.Timer(0.1, lambda: supervisor._on_signal(signal.SIGTERM, None)).start()
    with pytest.raises(StopRequested):
        supervisor.up([service(tmp_path, "worker", "import time; time.sleep(60)", ready=lambda: "loading")])


def test_the_kernel_ends_a_process_whose_supervisor_was_killed(tmp_path):
    if not Path("/proc/self").exists():
        pytest.skip("only Linux has it; elsewhere `make stop` does it")
    code = f"""
import os, signal, sys
from pathlib import Path
from ops.local.service import Service, spawn
child = spawn(Service(name="c", command=(sys.executable, "-c", "import time; time.sleep(60)"),
                      log=Path({str(tmp_path / "c.log")!r})))
print(child.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )
    child = int(done.stdout)
    until(lambda: not born(child))
