"""`make bench`: run the benchmarks, print their tables, keep the figures under var/bench/.

python -m tests.benchmarks                          all of them
python -m tests.benchmarks only=live_speech         one
python -m tests.benchmarks only=live_speech streams=1,6
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from tests.benchmarks import gateway, live_speech, machine

BENCHMARKS: dict[str, Callable[..., dict[str, Any]]] = {
    "gateway": gateway.run,
    "live_speech": live_speech.run,
}
KEEP_IN = machine.ROOT / "var" / "bench"


def main(arguments: list[str]) -> int:
    given = dict(argument.partition("=")[::2] for argument in arguments)
    only = given.pop("only", None)
    options: dict[str, Any] = {}
    try:
        if "streams" in given:
            options["streams"] = tuple(int(count) for count in given.pop("streams").split(","))
    except ValueError:
        print("streams= takes whole numbers, such as streams=1,2,4", file=sys.stderr)
        return 2
    if "engine" in given:
        options["engine"] = given.pop("engine")
    if given or (only is not None and only not in BENCHMARKS):
        wrong = next(iter(given), f"only={only}")
        print(f"{wrong}? There are only={'|'.join(BENCHMARKS)}, streams=1,2,… and engine=…", file=sys.stderr)
        return 2
    for name in [only] if only else BENCHMARKS:
        where = machine.describe()
        if not machine.is_quiet():
            print(f"Note: this machine is busy (load {where['load_before']}); the figures will suffer.")
        figures = BENCHMARKS[name](**options)
        KEEP_IN.mkdir(parents=True, exist_ok=True)
        path = KEEP_IN / f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
        path.write_text(json.dumps({"benchmark": name, "machine": where, **figures}, indent=2) + "\n")
        print(f"\n{where['cpu']}, {where['cores']} cores, commit {str(where['commit'])[:12]}\nKept in {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
