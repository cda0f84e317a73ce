"""For whoever looks at what `make run` has started: SQL, a command of Valkey, any program with what the
processes were told, and a part started again. Elsewhere psql, redis-cli and whatever supervises do this."""

from __future__ import annotations

import os
import signal
import time
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NoReturn

import psycopg
import redis

from config import env
from ops.local import manage, stack
from ops.local.console import Console
from ops.local.errors import LocalError
from ops.local.running import MARK, Paths, read_json
from ops.local.service import kill_group

RESTART_TIMEOUT_S = 120.0
DRAINS = {"worker": env.DRAIN_SECONDS, "gateway": env.GATEWAY_DRAIN_SECONDS}
LAST_WORDS_S = 15.0  # longer than a part needs beyond its drain
# Others of its signals would wait until everybody has gone.
FAST_STOP = {"postgres": signal.SIGINT}


def run(paths: Paths, words: Sequence[str]) -> NoReturn:
    """`with PROGRAM …`, in the place of this process. It ends with the rest, at the latest."""
    if not words:
        raise LocalError("With which program? For example: python -m ops.local with env")
    environ = {**os.environ, **manage.told(paths), MARK: str(paths.var.resolve())}
    try:
        os.execvpe(words[0], list(words), environ)  # noqa: S606
    except OSError as error:
        raise LocalError(f"{words[0]}: {error.strerror}.") from None


def sql(paths: Paths, words: Sequence[str]) -> int:
    """`sql "SELECT …"`: as the owner of the schema, who sees no row that belongs to a tenant."""
    if len(words) != 1:
        raise LocalError('One statement, in quotes: python -m ops.local sql "SELECT 1"')
    try:
        with psycopg.connect(manage.told(paths)["DATABASE_URL"], connect_timeout=5) as connection:
            cursor = connection.execute(words[0].encode())
            rows = cursor.fetchall() if cursor.description else []
    except psycopg.Error as error:
        raise LocalError(f"PostgreSQL says: {str(error).strip()}") from None
    if cursor.description:
        print(" | ".join(column.name for column in cursor.description))
    for row in rows:
        print(" | ".join("" if value is None else str(value) for value in row))
    print(cursor.statusmessage)
    return 0


def valkey(paths: Paths, words: Sequence[str]) -> int:
    """`valkey LLEN celery`."""
    if not words:
        raise LocalError("Which command? For example: python -m ops.local valkey PING")
    try:
        with redis.from_url(
            manage.told(paths)["REDIS_URL"], socket_timeout=5, socket_connect_timeout=5
        ) as client:
            said = client.execute_command(*words)
    except redis.RedisError as error:
        raise LocalError(f"Valkey says: {error}") from None
    print(_readable(said))
    return 0


def _readable(said: object) -> str:
    if isinstance(said, bytes):
        return said.decode("utf-8", "replace").rstrip()
    if isinstance(said, Mapping):
        return "\n".join(f"{_readable(key)}:{_readable(value)}" for key, value in said.items())
    if isinstance(said, list | tuple | set):
        return "\n".join(map(_readable, said))
    return str(said)


def restart(paths: Paths, words: Sequence[str], console: Console) -> int:
    """`restart worker`: the signal that ends it in good order, or the one that ends what hangs; then whatever
    supervises starts it again."""
    given = stack.Settings(manage.told(paths))
    before = _pids(paths)
    if len(words) != 1 or words[0] not in before:
        raise LocalError(
            f"Restart what? One of: {', '.join(sorted(before))}. What has died is started again by itself."
        )
    (part,) = words
    drains = DRAINS.get(part)
    drains_s = drains.read(given.environ) if drains else 0.0
    console.doing(f"starting {part} again")
    os.kill(before[part], FAST_STOP.get(part, signal.SIGTERM))
    began = time.monotonic()
    while _pids(paths).get(part) in (None, before[part]) or not _ready(given):
        waited_s = time.monotonic() - began
        if waited_s > drains_s + LAST_WORDS_S and _pids(paths).get(part) == before[part]:
            kill_group(before[part])
        if waited_s > drains_s + RESTART_TIMEOUT_S:
            raise LocalError(f"It is not ready after {waited_s:.0f} s. See {paths.log}/{part}.log.")
        time.sleep(0.1)
    console.done(part, "runs again, and all is ready", time.monotonic() - began)
    return 0


def _pids(paths: Paths) -> dict[str, int]:
    pids = read_json(paths.demo).get("pids")
    found = pids if isinstance(pids, dict) else {}
    return {name: pid for name, pid in found.items() if name != "supervisor" and isinstance(pid, int)}


def _ready(given: stack.Settings) -> bool:
    """The gateway, which says so of nearly all, and for which `weak` is not; and the worker, which is not the
    only one it may have."""
    with suppress(OSError), urllib.request.urlopen(f"{given.gateway_url}/healthz", timeout=3) as page:  # noqa: S310
        return b"weak" not in page.read() and not stack.healthy(f"{given.worker_url}/healthz")
    return False
