"""One run at a time, and nothing left of one that was killed."""

import os
import signal
import subprocess
import sys
import time
from io import StringIO

import pytest

from ops.local import checks, command, running
from ops.local.console import Console
from ops.local.errors import AlreadyRunning
from ops.local.running import Paths, born

# A run in little: the lock, the supervisor, the record, and three children of which one obeys, one does not
# hear, and one leaves a process of its own behind.
RUN = """
import os, sys
from pathlib import Path
from ops.local import running
from ops.local.console import Console
from ops.local.service import Service
from ops.local.supervisor import StopRequested, Supervisor

paths = running.Paths(Path(sys.argv[1]))
codes = {
    "obeys": "import time; print('up', flush=True); time.sleep(60)",
    "deaf": "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
            "print('up', flush=True); time.sleep(60)",
    "parent": "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', "
              "'import os, time; os.setsid(); print(\\"up\\", flush=True); time.sleep(60)']); time.sleep(60)",
}
def service(name):
    log = paths.log / f"{name}.log"
    return Service(
        name=name, command=(sys.executable, "-c", codes[name]), log=log,
        env={**os.environ, running.MARK: str(paths.var.resolve())},
        ready=lambda: None if "up" in log.read_text() else "not up", stop_timeout=0.2,
    )
supervisor = Supervisor(Console(), lambda pids: running.record(paths, pids))
supervisor.listen_to_signals()
with running.only_one(paths):
    try:
        supervisor.up([service(name) for name in codes])
        running.write_json(paths.demo, {"http_url": "http://127.0.0.1:8000"})
        supervisor.watch()
    except StopRequested:
        pass
    finally:
        supervisor.down()
        running.end_leftovers(paths)
"""


@pytest.fixture
def paths(tmp_path):
    paths = Paths(tmp_path / "var")
    checks.writable(paths)
    return paths


@pytest.fixture
def run(paths, monkeypatch):
    monkeypatch.setattr(running, "LEFTOVER_TIMEOUT_S", 0.5)
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(paths.var)], stdout=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 20
    while not paths.demo.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield process
    process.kill()
    process.wait()
    running.end_leftovers(paths)


def said(do, paths):
    out = StringIO()
    assert do(paths, Console(out)) == 0
    return out.getvalue()


def test_stop_ends_everything(run, paths):
    processes = running.leftovers(paths)
    assert len(processes) == 4
    assert "Stopped in" in said(command.stop, paths)
    assert run.wait(5) == 0
    assert not any(born(pid) for pid in processes)
    assert not paths.demo.exists()
    assert said(command.stop, paths) == "Nothing is running.\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_everything(run, paths, number):
    processes = running.leftovers(paths)
    run.send_signal(number)
    assert run.wait(10) == 0
    assert not any(born(pid) for pid in processes)


def test_stop_after_the_supervisor_was_killed_ends_what_it_left(run, paths):
    processes = running.leftovers(paths)
    run.kill()
    run.wait()
    assert "deaf" in running.leftovers(paths).values()
    assert said(command.stop, paths).startswith("Ended what an earlier run had left: ")
    assert not any(born(pid) for pid in processes)
    assert not paths.demo.exists()


def test_a_second_run_says_that_one_is_running_and_where(run, paths):
    expected = rf"already running here \(pid {run.pid}\) at http://127\.0\.0\.1:8000\. `make stop` ends it"
    with pytest.raises(AlreadyRunning, match=expected), running.only_one(paths):
        pass


def test_a_number_in_an_old_record_that_is_somebody_elses_now_is_left_alone(paths):
    running.write_json(paths.pids, {"gateway": {"pid": os.getpid(), "born": "another boot 1"}, "x": 3})
    assert running.end_leftovers(paths) == []


def test_a_damaged_record_is_no_record(paths):
    paths.pids.write_text("{")
    assert running.end_leftovers(paths) == []


def test_facts_are_written_whole_and_for_nobody_else(paths):
    running.write_json(paths.demo, {"api_key": "k"})
    assert paths.demo.stat().st_mode & 0o777 == 0o600
    assert running.read_json(paths.demo) == {"api_key": "k"}
    assert [path.name for path in paths.run.iterdir()] == ["demo.json"]


def test_clean_removes_data(paths):
    assert "Removed" in said(command.clean, paths)
    assert not paths.var.exists()
    assert said(command.clean, paths) == "Nothing is running.\n"
