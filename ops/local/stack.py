"""The parts of Stenogate on one machine: what each is, in which order, and what it is told."""

from __future__ import annotations

import os
import secrets
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from config import env
from config.celery import ALIVE_KEY, CALLBACKS_ALIVE_KEY
from ops.local import logs, ports, postgres, valkey
from ops.local.errors import LocalError
from ops.local.running import MARK, Paths, read_json, write_json
from ops.local.service import Service
from ops.stripe import process as local_stripe

ROOT = Path(__file__).resolve().parents[2]
PYTHON = sys.executable
# NeMo takes 10 to 20 s to import, a large model a minute to read, a pretrained one minutes to fetch.
WORKER_STARTS_IN_S = {"nemo": 900.0}


@dataclass(frozen=True)
class Settings:
    """What a run was asked for: our variables from the environment and `.env`, checked."""

    environ: Mapping[str, str]

    @property
    def gateway_url(self) -> str:
        return f"http://{_local(env.GATEWAY_HOST.read(self.environ))}:{env.GATEWAY_PORT.read(self.environ)}"

    @property
    def worker_url(self) -> str:
        return f"http://{_local(env.WORKER_HOST.read(self.environ))}:{env.WORKER_PORT.read(self.environ)}"

    @property
    def own_database(self) -> bool:
        return not self.environ.get("DATABASE_URL", "").strip()

    @property
    def own_redis(self) -> bool:
        return not self.environ.get("REDIS_URL", "").strip()

    @property
    def own_stripe(self) -> bool:
        """A demo that was told of no Stripe has one of its own; without the demo, no key is no Stripe."""
        told = (self.environ.get(name, "").strip() for name in ("STRIPE_API_KEY", "STRIPE_API_BASE"))
        return self.demo and not any(told)

    @property
    def demo(self) -> bool:
        return env.DEMO.read(self.environ)

    @property
    def tiny_model(self) -> bool:
        return env.ENGINE.read(self.environ) == "nemo" and not env.MODEL.read(self.environ)


def settings(environ: Mapping[str, str], dotenv: Mapping[str, str]) -> Settings:
    """The environment wins over `.env`, and both over the demo's defaults."""
    merged = {"DEMO": "true", **dotenv, **environ}
    if not merged.get("SECRET_KEY", "").strip():
        merged["SECRET_KEY"] = env.DEMO_SECRET_KEY
    found = Settings(merged)
    # Those two are not known yet when the servers are ours.
    known_later = {"DATABASE_URL": found.own_database, "REDIS_URL": found.own_redis}
    try:
        env.check(merged, among=[v for v in env.variables() if not known_later.get(v.name)])
    except env.EnvError as error:
        raise LocalError(str(error)) from None
    return found


def environment(given: Settings, paths: Paths, database_url: str, redis_url: str) -> dict[str, str]:
    """What every process of ours is told."""
    # Whatever names it has for others, we ask it whether it is ready, and people open the admin from here.
    hosts = dict.fromkeys((*env.ALLOWED_HOSTS.read(given.environ), "localhost", "127.0.0.1", "[::1]"))
    return {
        "GATEWAY_DRAIN_SECONDS": "2",  # whoever develops does not want to wait
        "USAGE_SPOOL_DIR": str(paths.var.resolve() / "usage"),
        "INFERENCE_LOG_DIR": str(paths.var.resolve() / "inference-log"),
        **given.environ,
        "ALLOWED_HOSTS": ",".join(hosts),
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "PYTHONUNBUFFERED": "1",
        MARK: str(paths.var.resolve()),
        **_stripe_told(given, paths),
        **_receipt_keys(given, paths),
    }


# ---- servers


def storage(given: Settings, paths: Paths) -> tuple[list[Service], str, str]:
    """The services to start for PostgreSQL and Valkey, and the addresses of both."""
    remembered = read_json(paths.ports)
    services = []
    if given.own_database:
        port = port_of("postgres", remembered)
        cluster = postgres.prepare(paths.var / "postgres")
        services.append(
            postgres.service(
                cluster, port, durable=True, log=paths.log / "postgres.log", mark=str(paths.var.resolve())
            )
        )
        database_url = cluster.url(port)
    else:
        database_url = given.environ["DATABASE_URL"].strip()
        _reach_database(database_url)
    if given.own_redis:
        port = port_of("valkey", remembered)
        services.append(
            valkey.service(
                paths.var / "valkey",
                port,
                durable=True,
                log=paths.log / "valkey.log",
                mark=str(paths.var.resolve()),
            )
        )
        redis_url = valkey.url(port)
    else:
        redis_url = given.environ["REDIS_URL"].strip()
        _reach_redis(redis_url)
    write_json(paths.ports, remembered)
    return services, database_url, redis_url


def stripe(given: Settings, paths: Paths) -> list[Service]:
    """The local Stripe, if there is to be one. It tells the gateway what happens, and says it again until the
    gateway is there."""
    if not given.own_stripe:
        return []
    remembered = read_json(paths.ports)
    port = port_of("stripe", remembered)
    write_json(paths.ports, remembered)
    return [
        local_stripe.service(
            paths.var / "stripe" / "state.sqlite3",
            port,
            log=paths.log / "stripe.log",
            webhook=f"{given.gateway_url}/webhooks/stripe",
            secret=_webhook_secret(given, paths),
            mark=str(paths.var.resolve()),
        )
    ]


def stripe_url(given: Settings, paths: Paths) -> str | None:
    port = read_json(paths.ports).get("stripe")
    return local_stripe.url(port) if given.own_stripe and isinstance(port, int) else None


def _stripe_told(given: Settings, paths: Paths) -> dict[str, str]:
    url = stripe_url(given, paths)
    if url is None:
        return {}
    return {
        "STRIPE_API_KEY": local_stripe.API_KEY,
        "STRIPE_API_BASE": url,
        "STRIPE_WEBHOOK_SECRET": _webhook_secret(given, paths),
    }


def _webhook_secret(given: Settings, paths: Paths) -> str:
    """Of this var/ alone: a secret that is published would let anybody tell the gateway who has paid."""
    if told := given.environ.get("STRIPE_WEBHOOK_SECRET", "").strip():
        return told
    file = paths.run / "stripe.json"
    kept = read_json(file).get("webhook_secret")
    if not isinstance(kept, str):
        kept = f"whsec_{secrets.token_urlsafe(24)}"
        write_json(file, {"webhook_secret": kept})
    return kept


def _receipt_keys(given: Settings, paths: Paths) -> dict[str, str]:
    """A key of this var/, as long as its database is: one name in one database is one key for ever."""
    if not given.own_database or given.environ.get("RECEIPT_KEYS", "").strip():
        return {}
    file = paths.run / "receipts.json"
    kept = read_json(file).get("receipt_keys")
    if not isinstance(kept, str):
        kept = f"local:{secrets.token_urlsafe(32)}"
        write_json(file, {"receipt_keys": kept})
    return {"RECEIPT_KEYS": kept}


def port_of(name: str, remembered: dict[str, object]) -> int:
    """The port of the last run if it is still free, so that an open psql works after a restart."""
    last = remembered.get(name)
    port = (
        last if isinstance(last, int) and 1024 <= last < 65536 and ports.is_free(last) else ports.free_port()
    )
    remembered[name] = port
    return port


def _reach_database(url: str) -> None:
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            connection.execute("select 1")
    except psycopg.Error as error:
        said = " ".join(str(error).split())
        raise LocalError(
            f"DATABASE_URL: no answer from {_place(url)}: {_without_secret(said, url)}"
        ) from None


def _reach_redis(url: str) -> None:
    try:
        with _redis(url) as client:
            client.ping()
    except (redis.RedisError, ValueError, OSError) as error:
        raise LocalError(
            f"REDIS_URL: no answer from {_place(url)}: {_without_secret(str(error), url)}"
        ) from None


def _place(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"


def _without_secret(text: str, url: str) -> str:
    password = urlsplit(url).password
    return text.replace(password, "***") if password else text


# ---- our own processes


def prepare(given: Settings, environ: Mapping[str, str], paths: Paths) -> Service:
    demo = ("--demo", str(paths.secrets)) if given.demo else ()
    stripe = ("--stripe",) if given.own_stripe else ()
    return ours("prepare", paths, environ, "-m", "ops.local.prepare", *demo, *stripe, start_timeout=300)


def processes(given: Settings, environ: Mapping[str, str], paths: Paths) -> list[Service]:
    """In the order of their start; they are ended in the reverse one."""
    schedule = paths.var / "celery" / "beat-schedule"
    schedule.parent.mkdir(parents=True, exist_ok=True)
    celery = (
        "-m", "celery", "-A", "config.celery", "worker", "--beat", "--schedule", str(schedule),
        "--concurrency", "2", "--loglevel", env.LOG_LEVEL.read(environ),
        "--without-gossip", "--without-mingle",
    )  # fmt: skip
    callbacks = (
        "-m", "celery", "-A", "config.celery", "worker", "--queues", "callbacks,payments",
        "--pool", "threads", "--concurrency", "16", "--hostname", "callbacks@%h",
        "--loglevel", env.LOG_LEVEL.read(environ), "--without-gossip", "--without-mingle",
    )  # fmt: skip
    return [
        ours(
            "worker", paths, environ, "-m", "inference_worker",
            detail=f"engine {env.ENGINE.read(environ)}, {given.worker_url}/healthz",
            url=f"{given.worker_url}/healthz",
            start_timeout=WORKER_STARTS_IN_S.get(env.ENGINE.read(environ), 120),
            stop_timeout=env.DRAIN_SECONDS.read(environ) + 10,
        ),
        replace(
            ours("celery", paths, environ, *celery, detail="2 processes and the clock"),
            before_start=lambda: forget_celery(environ["REDIS_URL"], ALIVE_KEY),
            ready=lambda: celery_ready(environ["REDIS_URL"], ALIVE_KEY),
        ),
        replace(
            ours("callbacks", paths, environ, *callbacks, detail="Celery, 16 threads"),
            before_start=lambda: forget_celery(environ["REDIS_URL"], CALLBACKS_ALIVE_KEY),
            ready=lambda: celery_ready(environ["REDIS_URL"], CALLBACKS_ALIVE_KEY),
        ),
        ours(
            "gateway", paths, environ, "-m", "gateway.server",
            detail=given.gateway_url, url=f"{given.gateway_url}/healthz",
            start_timeout=120, stop_timeout=env.GATEWAY_DRAIN_SECONDS.read(environ) + 15,
        ),
    ]  # fmt: skip


def ours(
    name: str,
    paths: Paths,
    environ: Mapping[str, str],
    *command: str,
    detail: str = "",
    url: str | None = None,
    start_timeout: float = 60,
    stop_timeout: float = 10,
) -> Service:
    log = paths.log / f"{name}.log"
    return Service(
        name=name,
        command=(PYTHON, *command),
        log=log,
        detail=detail,
        env=environ,
        cwd=ROOT,
        ready=(lambda: healthy(url)) if url else (lambda: None),
        start_timeout=start_timeout,
        stop_timeout=stop_timeout,
    )


def healthy(url: str) -> str | None:
    """None if a health page answers 200; else what it says is missing."""
    try:
        with urllib.request.urlopen(url, timeout=3):  # noqa: S310
            return None
    except urllib.error.HTTPError as error:
        with error:
            said = error.read(2000).decode("utf-8", "replace")
        return " ".join(said.split()) or f"it answers {error.code}"
    except OSError as error:
        return f"{url} does not answer ({getattr(error, 'reason', error)})"


def forget_celery(redis_url: str, key: str) -> None:
    """Else the key that the one before it left would say that this one is ready."""
    with suppress(redis.RedisError), _redis(redis_url) as client:
        client.delete(key)


def celery_ready(redis_url: str, key: str) -> str | None:
    try:
        with _redis(redis_url) as client:
            return None if client.exists(key) else "its worker has not begun"
    except redis.RedisError as error:
        return type(error).__name__


def _redis(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=3, socket_connect_timeout=3, retry=Retry(NoBackoff(), 0))


def begin_logs(paths: Paths) -> None:
    for log in paths.log.glob("*.log"):
        logs.begin_anew(log)


# ---- what a run tells the world


def facts(given: Settings, paths: Paths, pids: Mapping[str, int]) -> dict[str, object]:
    """The content of demo.json."""
    known = read_json(paths.secrets) if given.demo else {}
    http = given.gateway_url
    return {
        "http_url": http,
        "ws_url": "ws" + http.removeprefix("http"),
        "admin_url": f"{http}/admin/",
        "api_key": known.get("api_key"),
        "admin_user": known.get("admin_user"),
        "admin_password": known.get("admin_password"),
        "stripe_url": stripe_url(given, paths),
        "region": env.REGION.read(given.environ),
        "pids": {"supervisor": os.getpid(), **pids},
    }


def short(path: Path) -> str:
    """As somebody who stands in the checkout would type it."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def _local(host: str) -> str:
    """Where a person on this machine reaches something that listens on `host`."""
    if host in ("0.0.0.0", "::", ""):  # noqa: S104
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
