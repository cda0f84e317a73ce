"""`make chaos`: break a running Stenogate, part by part, and print what came of it.

python -m ops.chaos                                 all experiments, against `make run` in var/
python -m ops.chaos only=worker_kill,abandon        some of them
python -m ops.chaos var=DIR audio=FILE.wav seconds=20
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from http.client import HTTPException
from pathlib import Path

import psycopg
import redis

from ops.chaos import clients, deaths, recording, report, servers
from ops.chaos.demo import Demo
from ops.chaos.errors import ChaosError, NotPossible
from ops.chaos.lab import Lab
from ops.local import stack

Experiment = Callable[[Lab], report.Row]
EXPERIMENTS: dict[str, Experiment] = {
    made.__name__: made
    for made in (
        clients.slow_consumer, clients.abandon, clients.churn_storm, clients.malformed,
        deaths.worker_kill, deaths.gateway_kill, deaths.gateway_restart, deaths.worker_slow,
        servers.valkey_restart, servers.valkey_flush, servers.postgres_restart, servers.packet_loss,
        servers.partition, deaths.clock_jump,
    )
}  # fmt: skip
# What asking something that was broken a moment ago may raise.
AWAY = (OSError, HTTPException, psycopg.Error, redis.RedisError)
OPTIONS = ("only", "var", "audio", "seconds")
SHORTEST_S = 15.0  # what is broken is broken after six of them


class WrongOption(Exception):
    """An argument that is none; the message says what there is."""


def main(arguments: Sequence[str]) -> int:
    try:
        given = read(arguments)
        wanted, length = names(given), seconds(given)
        said = recording.read(Path(given["audio"]) if "audio" in given else None, length)
        lab = Lab(Demo(Path(given.get("var", stack.ROOT / "var")).absolute()), said)
        print(
            f"Breaking what runs at {lab.demo.http_url} (engine {lab.demo.engine}), with streams of "
            f"{lab.recording.ms / 1000:g} s.\n"
        )
        return run(lab, wanted)
    except (WrongOption, ChaosError) as error:
        print(error, file=sys.stderr)
        return 2


def run(lab: Lab, wanted: Sequence[str]) -> int:
    rows: list[report.Row] = []
    print("\n".join(report.head()), flush=True)
    for name in wanted:
        rows.append(attempt(name, EXPERIMENTS[name], lab))
        print("\n".join(report.lines(rows[-1])), flush=True)
    print(f"\n{report.summary(rows)}")
    return report.status(rows)


def attempt(name: str, experiment: Experiment, lab: Lab) -> report.Row:
    """Its row, also where it could not be made: what should have come back and did not is a fault."""
    try:
        return experiment(lab)
    except NotPossible as error:
        return report.Row(name, "nothing", "", skipped=str(error))
    except (ChaosError, *AWAY) as error:
        return report.Row(name, "it was begun", "that it can be ended", (f"{type(error).__name__}: {error}",))


def read(arguments: Sequence[str]) -> dict[str, str]:
    given = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if key not in OPTIONS or not equals or not value:
            raise WrongOption(f"{argument}? There are {'=, '.join(OPTIONS)}=.")
        given[key] = value
    return given


def names(given: dict[str, str]) -> list[str]:
    wanted = given["only"].split(",") if "only" in given else list(EXPERIMENTS)
    for name in wanted:
        if name not in EXPERIMENTS:
            raise WrongOption(f"only={name}? There are {', '.join(EXPERIMENTS)}.")
    return wanted


def seconds(given: dict[str, str]) -> float:
    try:
        found = float(given.get("seconds", "20"))
    except ValueError:
        found = 0.0
    if not SHORTEST_S <= found <= 600:
        raise WrongOption(f"seconds={given['seconds']}? It is a number from {SHORTEST_S:g} to 600.")
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
