"""`make run` in a terminal: ready, alone, up again after a blow, gone without a trace. All parts are real."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from ops.local import ports, running
from ops.local.running import Paths, born

pytestmark = pytest.mark.stack
ROOT = Path(__file__).parents[2]
PARTS = {"postgres", "valkey", "stripe", "worker", "celery", "callbacks", "gateway"}


@dataclass
class Terminal:
    """What a person has before them: a command in a terminal of its own, and what it shows."""

    process: subprocess.Popen[bytes]
    keyboard: int
    shown: bytearray = field(default_factory=bytearray)

    @property
    def text(self) -> str:
        return re.sub(r"\x1b\[K|\r", "", self.shown.decode("utf-8", "replace"))

    def ctrl_c(self) -> None:
        os.write(self.keyboard, b"\x03")


@dataclass
class Local:
    paths: Paths
    environ: dict[str, str]

    def command(self, name: str) -> list[str]:
        return [sys.executable, "-m", "ops.local", name, "--var", str(self.paths.var)]

    def call(self, name: str, **environ: str) -> tuple[int, str]:
        done = subprocess.run(
            self.command(name), cwd=ROOT, env={**self.environ, **environ},
            capture_output=True, text=True, timeout=90, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stdout + done.stderr
        return done.returncode, done.stdout + done.stderr

    def facts(self) -> dict[str, object]:
        return running.read_json(self.paths.demo)

    def pids(self) -> dict[str, int]:
        pids = self.facts().get("pids", {})
        assert isinstance(pids, dict)
        return pids


@pytest.fixture(scope="module")
def local() -> Iterator[Local]:
    ours = {
        "GATEWAY_PORT": str(ports.free_port()),
        "WORKER_PORT": str(ports.free_port()),
        "ENGINE": "scripted",
    }
    servers = dict.fromkeys(("DATABASE_URL", "REDIS_URL", "STRIPE_API_KEY", "STRIPE_API_BASE"), "")
    environ = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **servers, **ours}
    with tempfile.TemporaryDirectory(prefix="stenogate-run-") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL may run as another user, who must get in
        local = Local(Paths(Path(folder) / "var"), environ)
        yield local
        local.call("clean")


def until(look: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@pytest.fixture
def terminal(local: Local) -> Iterator[Terminal]:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        local.command("run"), cwd=ROOT, env=local.environ, stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True, preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)),
    )  # fmt: skip
    os.close(theirs)
    terminal = Terminal(process, ours)

    def look() -> None:
        while True:
            try:
                shown = os.read(ours, 4096)
            except OSError:  # the other side is closed
                return
            terminal.shown += shown

    reader = threading.Thread(target=look)
    reader.start()
    until(lambda: local.paths.demo.exists() or process.poll() is not None, 90)
    assert process.poll() is None, terminal.text
    yield terminal
    process.kill()
    process.wait()
    local.call("stop")
    reader.join()
    os.close(ours)


def test_a_day_with_make_run(local: Local, terminal: Terminal) -> None:
    # Ready: what it shows and what it wrote is all that a newcomer and a script need.
    facts = local.facts()
    assert set(facts) >= {
        "http_url",
        "ws_url",
        "admin_url",
        "api_key",
        "admin_user",
        "admin_password",
        "region",
        "stripe_url",
    }
    assert set(local.pids()) == PARTS | {"supervisor"}
    until(lambda: "Ctrl-C ends it" in terminal.text)
    for fact in ("http_url", "admin_url", "stripe_url", "api_key", "admin_user", "admin_password"):
        assert str(facts[fact]) in terminal.text
    assert ".venv/bin/stenogate transcribe" in terminal.text
    assert local.paths.demo.stat().st_mode & 0o077 == 0

    # What opens doors is in no log.
    logs = b"".join(path.read_bytes() for path in local.paths.log.iterdir())
    assert str(facts["api_key"]).encode() not in logs
    assert str(facts["admin_password"]).encode() not in logs

    # A second one says where the first is.
    status, said = local.call("run")
    assert status == 0
    assert f"already running here (pid {terminal.process.pid}) at {facts['http_url']}" in said

    # A part that is killed comes back, and the terminal and demo.json say so.
    killed = local.pids()["worker"]
    os.kill(killed, signal.SIGKILL)
    until(lambda: "worker is back after" in terminal.text)
    assert "worker was killed by SIGKILL; starting it again in 0.5 s" in terminal.text
    assert local.pids()["worker"] != killed

    # Something to find again.
    port = running.read_json(local.paths.ports)["postgres"]
    with psycopg.connect(_database(local)) as connection:
        connection.execute("create table kept ()")

    # Ctrl-C ends all of it, in order, and leaves nothing.
    processes = {**local.pids(), **{f"child {pid}": pid for pid in running.leftovers(local.paths)}}
    terminal.ctrl_c()
    assert terminal.process.wait(60) == 0
    stopped = re.findall(r"(\w+) +stopped", terminal.text)
    assert stopped == ["gateway", "callbacks", "celery", "worker", "stripe", "valkey", "postgres"]
    assert "Traceback" not in terminal.text
    assert [name for name, pid in processes.items() if born(pid)] == []
    assert not local.paths.demo.exists()

    # And the next run finds what was there, the same key among it.
    again = subprocess.Popen(
        local.command("run"), cwd=ROOT, env=local.environ, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        until(lambda: local.paths.demo.exists() or again.poll() is not None, 90)
        assert local.facts()["api_key"] == facts["api_key"]
        assert local.facts()["stripe_url"] == facts["stripe_url"]
        assert running.read_json(local.paths.ports)["postgres"] == port
        with psycopg.connect(_database(local)) as connection:
            connection.execute("select from kept")

        # Killed without a word, it leaves nothing that `stop` does not find.
        processes = {**local.pids(), **{f"child {pid}": pid for pid in running.leftovers(local.paths)}}
        again.kill()
        again.wait()
        status, said = local.call("stop")
        assert status == 0
        assert [name for name, pid in processes.items() if born(pid)] == []
    finally:
        again.kill()
        again.communicate()


def _database(local: Local) -> str:
    environ = Path(f"/proc/{local.pids()['gateway']}/environ").read_bytes().split(b"\0")
    return next(e for e in environ if e.startswith(b"DATABASE_URL=")).decode().partition("=")[2]


def test_a_taken_port_stops_it_with_a_sentence(local: Local) -> None:
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", 0))
        somebody.listen()
        port = somebody.getsockname()[1]
        status, said = local.call("run", GATEWAY_PORT=str(port))
    assert status == 1
    assert f"Port {port}, meant for the gateway, is taken by " in said
    assert "GATEWAY_PORT=" in said


def test_a_database_that_does_not_answer_stops_it_with_a_sentence(local: Local) -> None:
    url = f"postgresql://owner:hunter2@127.0.0.1:{ports.free_port()}/stenogate"
    status, said = local.call("run", DATABASE_URL=url)
    assert status == 1
    assert "DATABASE_URL: no answer from 127.0.0.1:" in said
    assert "hunter2" not in said


def test_a_model_that_is_not_there_stops_it_with_the_worker_s_own_sentence(local: Local) -> None:
    status, said = local.call("run", ENGINE="nemo", MODEL="/nowhere/streaming.nemo")
    assert status == 1
    assert "worker cannot start: MODEL is /nowhere/streaming.nemo, and there is no such file." in said
    assert "starting it again" not in said
    assert not any(local.pids())


def test_a_malformed_setting_stops_it_with_a_sentence(local: Local) -> None:
    status, said = local.call("run", GATEWAY_PORT="many", BATCH_WAIT_MS="5")
    assert status == 1
    assert "GATEWAY_PORT: 'many' is not a whole number." in said
    assert "BATCH_WAIT_MS: '5' is not three numbers" in said
    assert json.dumps(said).count("Example:") == 2
