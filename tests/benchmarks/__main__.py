"""`make bench`: run the benchmarks, print their tables, keep the figures under var/bench/.

python -m tests.benchmarks                          all of them that this machine can run
python -m tests.benchmarks only=live_speech         one
python -m tests.benchmarks only=live_speech streams=1,6
python -m tests.benchmarks only=engine model=x.nemo right=6 device=cuda
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from inspect import signature
from typing import Any

from tests.benchmarks import (
    crash_matrix,
    engine,
    failover,
    gateway,
    live_speech,
    machine,
    metering_ingest,
    reconcile,
    reconnect_storm,
    worker_loop,
    worker_path,
)

BENCHMARKS: dict[str, Callable[..., dict[str, Any]]] = {
    "crash_matrix": crash_matrix.run,
    "engine": engine.run,
    "failover": failover.run,
    "gateway": gateway.run,
    "live_speech": live_speech.run,
    "metering_ingest": metering_ingest.run,
    "reconcile": reconcile.run,
    "reconnect_storm": reconnect_storm.run,
    "worker_loop": worker_loop.run,
    "worker_path": worker_path.run,
}
KEEP_IN = machine.ROOT / "var" / "bench"


def _whole_numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


OPTIONS: dict[str, tuple[Callable[[str], Any], str]] = {
    "streams": (_whole_numbers, "takes whole numbers, such as streams=1,2,4"),
    "engine": (str, "takes the name of an engine"),
    "model": (str, "takes the path of a .nemo file"),
    "right": (int, "takes a whole number, the frames of look-ahead"),
    "device": (str, "takes cpu or cuda"),
    "threads": (int, "takes a whole number"),
    "rows": (_whole_numbers, "takes whole numbers, such as rows=10000,1000000"),
    "clients": (int, "takes a whole number"),
    "events": (int, "takes a whole number"),
    "rounds": (int, "takes a whole number"),
    "steps": (int, "takes a whole number"),
    "minutes": (int, "takes a whole number"),
    "seconds": (float, "takes a number"),
}


class WrongOption(Exception):
    """An argument that no benchmark knows, or not this one."""


def main(arguments: list[str]) -> int:
    try:
        names, options = read(arguments)
    except WrongOption as error:
        print(error, file=sys.stderr)
        return 2
    for name in names:
        if not machine.is_quiet():
            print("Note: this machine is busy; the figures will suffer.")
        where = machine.describe()
        try:
            figures = BENCHMARKS[name](**{key: options[key] for key in options if key in known(name)})
        except machine.CannotMeasure as error:
            print(f"{name} cannot be measured: {error}.", file=sys.stderr)
            if len(names) == 1:
                return 2
            continue
        KEEP_IN.mkdir(parents=True, exist_ok=True)
        path = KEEP_IN / f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
        path.write_text(json.dumps({"benchmark": name, "machine": where, **figures}, indent=2) + "\n")
        print(f"\n{where['cpu']}, {where['cores']} cores, commit {str(where['commit'])[:12]}\nKept in {path}")
    return 0


def known(name: str) -> set[str]:
    return OPTIONS.keys() & signature(BENCHMARKS[name]).parameters.keys()


def read(arguments: list[str]) -> tuple[list[str], dict[str, Any]]:
    """Which benchmarks, and with what. An option goes to those that know it, and one at least must."""
    given = dict(argument.partition("=")[::2] for argument in arguments)
    only = given.pop("only", None)
    if only is not None and only not in BENCHMARKS:
        raise WrongOption(f"only={only}? There are only={'|'.join(BENCHMARKS)}")
    names = [only] if only else list(BENCHMARKS)
    usable = sorted(set().union(*map(known, names)))
    options = {}
    for key, text in given.items():
        if key not in usable:
            raise WrongOption(f"{key}? There are only={'|'.join(BENCHMARKS)} and {', '.join(usable)}")
        parse, says = OPTIONS[key]
        try:
            options[key] = parse(text)
        except ValueError:
            raise WrongOption(f"{key}={text}? {key}= {says}") from None
    return names, options


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
