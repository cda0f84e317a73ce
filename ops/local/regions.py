"""`make regions`: three whole regions on this machine, each with a Valkey, a gateway, a Celery and a worker
of its own; one PostgreSQL, which is the control database of all, and one local Stripe.

    python -m ops.local regions                 until Ctrl-C
    python -m ops.local regions kill NAME       end all processes of one at once, and do not start them again
    python -m ops.local regions revive NAME     start them again
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from config import env
from config.celery import ALIVE_KEY, CALLBACKS_ALIVE_KEY
from ops.local import dotenv, foreground, manage, postgres, running, stack, valkey
from ops.local.console import Console
from ops.local.errors import LocalError
from ops.local.running import Paths, read_json, write_json
from ops.local.service import Service
from ops.local.stack import Settings
from ops.local.supervisor import Supervisor

ZONES = {"eu": "europe", "us": "america", "ap": "asia"}
# Where they are is ours to say; everything else may be set as for `make run`.
OURS = dict.fromkeys(("DATABASE_URL", "REDIS_URL", "STRIPE_API_KEY", "STRIPE_API_BASE"), "")
FORCED = {"DEMO": "true", "GATEWAY_HOST": "127.0.0.1", "WORKER_HOST": "127.0.0.1"}
PARTS = ("valkey", "worker", "celery", "gateway")
DEAD_WITHIN_S = 10.0


def paths_of(var: Path) -> Paths:
    """Beside those of `make run`, which may run at the same time."""
    return Paths(var / "regions")


def main(paths: Paths, arguments: Sequence[str], console: Console) -> int:
    match list(arguments):
        case []:
            return run(paths, console)
        case ["kill", str(name)] if name in ZONES:
            kill(paths, name)
        case ["revive", str(name)] if name in ZONES:
            _held(paths, name).unlink(missing_ok=True)
        case _:
            raise LocalError(
                f"Say `regions`, `regions kill NAME` or `regions revive NAME`: {', '.join(ZONES)}."
            )
    return 0


def run(paths: Paths, console: Console) -> int:
    return foreground.run("Stenogate in three regions", paths, console, _prepare, _bring_up, _announce)


def _prepare(paths: Paths, console: Console) -> dict[str, Settings]:
    """What each region is told that the others are not."""
    for name in ZONES:
        _held(paths, name).unlink(missing_ok=True)
    stack.begin_logs(paths)
    remembered = read_json(paths.ports)
    found = {}
    for name in ZONES:
        ports = {
            "GATEWAY_PORT": str(stack.port_of(f"gateway-{name}", remembered)),
            "WORKER_PORT": str(stack.port_of(f"worker-{name}", remembered)),
        }
        own = {"REGION": name, "WORKER_NAME": f"{name}-1", **ports, **OURS, **FORCED}
        found[name] = stack.settings({"ENGINE": "scripted", **os.environ, **own}, dotenv_without_engine())
    write_json(paths.ports, remembered)
    return found


def dotenv_without_engine() -> dict[str, str]:
    """Three workers with models are too much for most machines, so an engine is chosen on purpose only."""
    told = dotenv.read(stack.ROOT / ".env")
    return {name: value for name, value in told.items() if name != env.ENGINE.name}


def _bring_up(
    regions: Mapping[str, Settings], paths: Paths, console: Console, supervisor: Supervisor
) -> None:
    console.doing("preparing PostgreSQL and Valkey")
    first = next(iter(regions.values()))
    remembered, mark = read_json(paths.ports), str(paths.var.resolve())
    cluster = postgres.prepare(paths.var / "postgres")
    database_port = stack.port_of("postgres", remembered)
    services = [
        postgres.service(cluster, database_port, durable=True, log=paths.log / "postgres.log", mark=mark)
    ]
    redis_urls = {}
    for name in regions:
        port = stack.port_of(f"valkey-{name}", remembered)
        redis_urls[name] = valkey.url(port)
        service = valkey.service(
            paths.var / name / "valkey", port, durable=True, log=paths.log / f"valkey-{name}.log", mark=mark
        )
        services.append(_of(paths, name, service))
    write_json(paths.ports, remembered)
    supervisor.up([*services, *stack.stripe(first, paths)])

    environs = {
        name: _environment(given, paths, cluster.url(database_port), redis_urls[name])
        for name, given in regions.items()
    }
    manage.keep(paths, next(iter(environs.values())))
    console.doing("preparing the database")
    began = time.monotonic()
    supervisor.complete(_seed(regions, next(iter(environs.values())), paths))
    console.done("database", "migrated, with regions and tenants", time.monotonic() - began)
    supervisor.up(
        [
            _of(paths, name, service)
            for name, given in regions.items()
            for service in _processes(given, environs[name], paths.var / name)
        ]
    )


def _environment(given: Settings, paths: Paths, database_url: str, redis_url: str) -> dict[str, str]:
    """What waits on the disk of a region is its own."""
    of_region = (paths.var / given.environ["REGION"]).resolve()
    own = {name: str(of_region / folder) for name, folder in FOLDERS.items()}
    return stack.environment(Settings({**given.environ, **own}), paths, database_url, redis_url)


FOLDERS = {"USAGE_SPOOL_DIR": "usage", "INFERENCE_LOG_DIR": "inference-log"}


def _seed(regions: Mapping[str, Settings], environ: Mapping[str, str], paths: Paths) -> Service:
    places = {name: {"address": given.gateway_url, "zone": ZONES[name]} for name, given in regions.items()}
    return stack.ours(
        "prepare", paths, environ, "-m", "ops.local.regions_seed",
        "--demo", str(paths.secrets), "--keys", str(_keys(paths)), "--places", json.dumps(places),
        start_timeout=300,
    )  # fmt: skip


def _processes(given: Settings, environ: Mapping[str, str], var: Path) -> list[Service]:
    """The worker and the gateway as in `make run`, and one Celery for all that there are two for."""
    schedule = var / "beat-schedule"
    schedule.parent.mkdir(parents=True, exist_ok=True)
    paths = Paths(var)
    worker, *_, gateway = stack.processes(given, environ, paths)
    redis_url = environ["REDIS_URL"]
    celery = stack.ours(
        "celery", paths, environ, "-m", "celery", "-A", "config.celery", "worker", "--beat",
        "--schedule", str(schedule), "--queues", "celery,callbacks,payments", "--pool", "threads",
        "--concurrency", "4", "--hostname", f"{given.environ['REGION']}@%h",
        "--loglevel", env.LOG_LEVEL.read(environ), "--without-gossip", "--without-mingle",
        detail="4 threads and the clock",
    )  # fmt: skip

    def forget() -> None:
        stack.forget_celery(redis_url, ALIVE_KEY)
        stack.forget_celery(redis_url, CALLBACKS_ALIVE_KEY)

    ready = lambda: stack.celery_ready(redis_url, ALIVE_KEY)  # noqa: E731
    return [worker, replace(celery, before_start=forget, ready=ready), gateway]


def _of(paths: Paths, region: str, service: Service) -> Service:
    """A part of this region, by its name and its log."""
    name = f"{service.name}-{region}"
    held = _held(paths, region)
    return replace(service, name=name, log=paths.log / f"{name}.log", held=held.exists)


def _announce(
    regions: Mapping[str, Settings],
    paths: Paths,
    console: Console,
    supervisor: Supervisor,
    seconds: float,
) -> None:
    facts = _facts(regions, paths)

    def publish(pids: object = None) -> None:
        write_json(paths.demo, {**facts, "pids": {"supervisor": os.getpid(), **supervisor.pids}})

    publish()
    supervisor.on_change(publish)
    console.line(f"\nReady in {seconds:.1f} s.\n")
    for name, where in facts["regions"].items():
        console.line(f"  {name}   {where['http_url']}   {where['ws_url']}/v1/listen   {where['zone']}")
    console.line("\n  Tenants, by where their audio may be, and a key of each:")
    for tenant, key in facts["keys"].items():
        console.line(f"  {tenant:10} {SAYS[tenant]:24} {key}")
    login = f"   {facts['admin_user']} / {facts['admin_password']}"
    console.line(f"\n  Admin      {facts['admin_url']}{login}")
    console.line(f"  Logs       {stack.short(paths.log)}/   (these facts: {stack.short(paths.demo)})")
    usual = paths.var.parent == stack.ROOT / "var"
    elsewhere = "" if usual else f" --var {stack.short(paths.var.parent)}"
    ours = ".venv/bin/python -m ops.local"
    console.line("\nIn another terminal:")
    console.line("  make regions-demo" if usual else f"  {ours}.regions_demo{elsewhere}")
    console.line(f"  {ours} --var {stack.short(paths.var)} manage region status")
    console.line(f"  {ours} --var {stack.short(paths.var)} manage region drain eu --within 60")
    console.line(f"  {ours}{elsewhere} regions kill eu; sleep 10; {ours}{elsewhere} regions revive eu")
    console.line("\nCtrl-C ends it; so does `make stop`.\n")


SAYS = {"anywhere": "any region", "europe": "eu alone", "atlantic": "eu or us, eu first"}


def _facts(regions: Mapping[str, Settings], paths: Paths) -> dict[str, dict[str, dict[str, str]]]:
    first = next(iter(regions.values()))
    ports = read_json(paths.ports)
    places = {
        name: {
            "http_url": given.gateway_url,
            "ws_url": "ws" + given.gateway_url.removeprefix("http"),
            "worker_url": given.worker_url,
            "valkey_port": ports[f"valkey-{name}"],
            "zone": ZONES[name],
        }
        for name, given in regions.items()
    }
    facts: dict[str, object] = stack.facts(first, paths, {})
    return {**facts, "regions": places, "keys": read_json(_keys(paths))}  # type: ignore[dict-item]


def _keys(paths: Paths) -> Path:
    return paths.run / "keys.json"


# ---- the death of one


def _held(paths: Paths, region: str) -> Path:
    return paths.run / f"held-{region}"


def kill(paths: Paths, region: str) -> None:
    """All its processes, with nothing said. Returns when they are gone."""
    if not running.supervisor_pid(paths):
        raise LocalError("No regions are running here. Start them with `make regions`, in another terminal.")
    _held(paths, region).touch()
    found = read_json(paths.pids)
    pids = [
        entry["pid"]
        for part in PARTS
        if isinstance(entry := found.get(f"{part}-{region}"), dict)
        and running.born(entry["pid"]) == entry["born"]
    ]
    for pid in pids:
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)  # each leads a group of its own
    ends = time.monotonic() + DEAD_WITHIN_S
    while any(map(running.born, pids)) and time.monotonic() < ends:
        time.sleep(0.05)
