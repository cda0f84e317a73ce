"""The commands behind `make run`, `make stop` and `make clean`, and those for what runs."""

from __future__ import annotations

import argparse
import errno
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from config import env
from ops.local import ask, checks, dotenv, elsewhere, foreground, manage, postgres, regions, running, stack
from ops.local.console import Console
from ops.local.errors import AlreadyRunning, LocalError
from ops.local.running import Paths
from ops.local.supervisor import Supervisor

# What follows one of these is not ours to read.
FOR_OTHERS = ("manage", "with", "sql", "valkey", "restart", "regions")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ops.local", description="Stenogate on this machine.")
    parser.add_argument("command", choices=("run", "stop", "clean", *FOR_OTHERS))
    parser.add_argument(
        "--var", type=Path, default=stack.ROOT / "var", help="where data, logs and keys are kept"
    )
    words = list(sys.argv[1:] if arguments is None else arguments)
    upto = next((place + 1 for place, word in enumerate(words) if word in FOR_OTHERS), len(words))
    given = parser.parse_args(words[:upto])
    paths, console = Paths(given.var.absolute()), Console()
    rest = words[upto:]
    try:
        match given.command:
            case "manage":
                manage.run(paths, rest)
            case "with":
                ask.run(paths, rest)
            case "sql":
                return ask.sql(paths, rest)
            case "valkey":
                return ask.valkey(paths, rest)
            case "restart":
                return ask.restart(paths, rest, console)
            case "regions":
                return regions.main(regions.paths_of(paths.var), rest, console)
        return {"run": run, "stop": stop, "clean": clean}[given.command](paths, console)
    except AlreadyRunning as error:
        console.line(f"  {error}")
        return 0
    except LocalError as error:
        console.line(f"\n  {console.cross} {error}\n")
        return 1
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        console.line(f"\n  {console.cross} The disk of {paths.var} is full. Free some space and run again.\n")
        return 1


def run(paths: Paths, console: Console) -> int:
    return foreground.run("Stenogate", paths, console, _prepare, _bring_up, _announce)


def _prepare(paths: Paths, console: Console) -> stack.Settings:
    given = stack.settings(os.environ, dotenv.read(stack.ROOT / ".env"))
    environ = given.environ
    gateway, worker = env.GATEWAY_PORT.read(environ), env.WORKER_PORT.read(environ)
    if gateway == worker:
        raise LocalError(f"GATEWAY_PORT and WORKER_PORT are both {gateway}. Choose another for one of them.")
    checks.port(gateway, env.GATEWAY_HOST.read(environ), "gateway", "GATEWAY_PORT")
    checks.port(worker, env.WORKER_HOST.read(environ), "worker", "WORKER_PORT")
    stack.begin_logs(paths)
    return given


def _bring_up(given: stack.Settings, paths: Paths, console: Console, supervisor: Supervisor) -> None:
    console.doing("preparing PostgreSQL and Valkey")
    services, database_url, redis_url = stack.storage(given, paths)
    supervisor.up([*services, *stack.stripe(given, paths)])
    environ = stack.environment(given, paths, database_url, redis_url)
    manage.keep(paths, environ)

    console.doing("preparing the database")
    began = time.monotonic()
    supervisor.complete(stack.prepare(given, environ, paths))
    there = ["migrated", *["with the demo"] * given.demo, *["known to Stripe"] * given.own_stripe]
    console.done("database", ", ".join(there), time.monotonic() - began)

    if env.ENGINE.read(environ) == "nemo":
        console.line(f"  {console.dots} the worker loads NeMo and its model, which takes 10 to 60 s")
    supervisor.up(stack.processes(given, environ, paths))


def _announce(
    given: stack.Settings, paths: Paths, console: Console, supervisor: Supervisor, seconds: float
) -> None:
    def publish(pids: object = None) -> None:
        running.write_json(paths.demo, stack.facts(given, paths, supervisor.pids))

    publish()
    supervisor.on_change(publish)
    facts = stack.facts(given, paths, supervisor.pids)
    console.line(f"\nReady in {seconds:.1f} s.\n")
    console.line(f"  Gateway   {facts['http_url']}   {facts['ws_url']}/v1/listen")
    login = f"   {facts['admin_user']} / {facts['admin_password']}" if facts["admin_user"] else ""
    console.line(f"  Admin     {facts['admin_url']}{login}")
    if facts["stripe_url"]:
        console.line(f"  Stripe    {facts['stripe_url']}   a local one: no money moves")
    if facts["api_key"]:
        console.line(f"  API key   {facts['api_key']}")
    console.line(
        f"  Logs      {stack.short(paths.log)}/   (these facts, for scripts: {stack.short(paths.demo)})"
    )
    console.line(f"\nTry it, in another terminal:\n  {_example(given, facts)}")
    console.line("\nCtrl-C ends it; so does `make stop`.\n")


def stop(paths: Paths, console: Console) -> int:
    three = regions.paths_of(paths.var)
    if regional := three.pids.exists():
        stop(three, console)
    pid = running.supervisor_pid(paths)
    if pid:
        console.doing("stopping")
        began = time.monotonic()
        running.stop_supervisor(paths, pid)
    left = running.end_leftovers(paths) if paths.run.exists() else []
    paths.demo.unlink(missing_ok=True)
    if pid:
        console.line(f"Stopped in {time.monotonic() - began:.1f} s. Data stays in {stack.short(paths.var)}/.")
    elif left:
        console.line(f"Ended what an earlier run had left: {', '.join(left)}.")
    elif not regional:
        console.line("Nothing is running.")
    return 0


def clean(paths: Paths, console: Console) -> int:
    stop(paths, console)
    if not paths.var.exists():
        return 0
    elsewhere.remove(regions.paths_of(paths.var).var / "postgres", None)
    elsewhere.remove(paths.var / "postgres", postgres.installed())
    try:
        shutil.rmtree(paths.var)
    except OSError as error:
        raise LocalError(f"{error.filename} cannot be removed: {error.strerror}.") from None
    console.line(f"Removed {stack.short(paths.var)}/: the demo's data, logs and keys.")
    return 0


def _example(given: stack.Settings, facts: Mapping[str, object]) -> str:
    spoken = stack.ROOT / "tests" / "spoken.flac"
    if given.tiny_model and facts["api_key"] and spoken.exists():  # which knows little else
        return (
            f'curl -H "Authorization: Token {facts["api_key"]}" -H "Content-Type: audio/flac" \\\n'
            f"    --data-binary @{stack.short(spoken)} {facts['http_url']}/v1/listen"
        )
    return f".venv/bin/stenogate transcribe {_recording()}"


def _recording() -> str:
    """Speech that came with an engine's wheel, so that the command works as it stands."""
    spec = find_spec("moonshine_voice")
    file = Path(spec.origin).parent / "assets" / "beckett.wav" if spec and spec.origin else None
    return stack.short(file) if file and file.exists() else "FILE.wav"
