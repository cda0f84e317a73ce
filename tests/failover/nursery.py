"""Workers to be killed: a process loads and warms an engine once and forks, so that the next one is there at
once.

    python -m tests.failover.nursery ENGINE       a line with an environment in: a process id out
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ops.local import ports

# Engines that have no threads once they are warm. Others are loaded after the fork.
FORKS = ("scripted", "nemo")


@dataclass
class Nursery:
    engine: str
    redis_url: str
    folder: Path
    born: int = 0

    def __enter__(self) -> Nursery:
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(sys.path),
            "ENGINE": self.engine,
            "ENGINE_THREADS": "1",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, self.engine],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        """Its workers die with it."""
        self._process.communicate()

    def worker(self, region: str, **settings: str) -> tuple[str, int]:
        """The name and the process id of a new one. The engine is loaded again for other settings."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.born += 1
        name = f"{self.engine}-{self.born}"
        environment = {
            "REDIS_URL": self.redis_url,
            "REGION": region,
            "WORKER_NAME": name,
            "WORKER_PORT": str(ports.free_port()),
            "LOG_LEVEL": "WARNING",
            "DETERMINISTIC": "0",
            "MAX_STREAMS": "64",
            "LOG_FILE": str(self.folder / f"{name}.log"),
            **settings,
        }
        self._process.stdin.write(json.dumps(environment) + "\n")
        self._process.stdin.flush()
        return name, int(self._process.stdout.readline())


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def main(engine_name: str) -> None:
    from inference_worker import __main__ as worker
    from inference_worker import engines

    warm = {}
    create = engines.create
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    children = []
    for line in sys.stdin:
        environment = json.loads(line)
        key = environment["DETERMINISTIC"], environment["MAX_STREAMS"]
        if engine_name in FORKS and key not in warm:
            os.environ.update(environment)
            warm[key] = create(engine_name, int(environment["MAX_STREAMS"]))
            warm[key].warm_up()
        if (pid := os.fork()) == 0:
            become(environment)
            if engine_name in FORKS:
                engines.create = lambda *_: warm[key]  # noqa: B023 - the child stays in this turn
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            sys.exit(worker.main())
        children.append(pid)
        print(pid, flush=True)
    for pid in children:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def become(environment: dict[str, str]) -> None:
    os.environ.update(environment)
    log = os.open(environment["LOG_FILE"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, target in ((0, nothing), (1, log), (2, log)):
        os.dup2(target, number)


if __name__ == "__main__":
    main(sys.argv[1])
