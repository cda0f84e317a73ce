"""`python -m ops.deploy.healthcheck gateway|worker|celery|callbacks`: is this container ready? 0 if it is."""

from __future__ import annotations

import sys
import urllib.error
import urllib.request

import redis

from config import env
from config.celery import ALIVE_KEY, CALLBACKS_ALIVE_KEY

TIMEOUT_S = 5.0


def main(arguments: list[str]) -> int:
    if arguments == ["gateway"]:
        missing = answers(env.GATEWAY_PORT.read())
    elif arguments == ["worker"]:
        missing = answers(env.WORKER_PORT.read())
    elif arguments == ["celery"]:
        missing = alive(env.REDIS_URL.read(), ALIVE_KEY)
    elif arguments == ["callbacks"]:
        missing = alive(env.REDIS_URL.read(), CALLBACKS_ALIVE_KEY)
    else:
        missing = "which? gateway, worker, celery or callbacks"
    if missing:
        print(missing)
    return 1 if missing else 0


def answers(port: int) -> str:
    """What a health page on this machine says is missing; nothing when it answers 200."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=TIMEOUT_S):
            return ""
    except urllib.error.HTTPError as error:
        with error:
            return error.read(2000).decode("utf-8", "replace") or f"it answers {error.code}"
    except OSError as error:
        return f"no answer: {error}"


def alive(url: str, key: str) -> str:
    """Celery has no port; a task that beat sends and a worker runs keeps a key in Valkey."""
    with redis.Redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S) as client:
        return "" if client.exists(key) else "neither beat nor a worker has been heard of"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
