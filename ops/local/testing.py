"""The pytest plugin that gives a test run its environment: PostgreSQL and Valkey of its own, from the wheels.

With DATABASE_URL or REDIS_URL set, those are used. No other variable of ours gets in from the shell, so a
test run means the same everywhere. The servers end with pytest, however it ends.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import ExitStack

import pytest

from config import env
from ops.local import postgres, valkey
from ops.local.errors import LocalError

_servers = ExitStack()


# Around everybody else's: pytest-django reads the settings, and so the environment, in this same hook.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests() -> Generator[None, None, None]:
    for variable in env.variables():
        if variable.name not in ("DATABASE_URL", "REDIS_URL"):
            os.environ.pop(variable.name, None)
    os.environ["SECRET_KEY"] = env.DEMO_SECRET_KEY
    os.environ["DEMO"] = "true"
    try:
        if not os.environ.get("DATABASE_URL"):
            os.environ["DATABASE_URL"] = _servers.enter_context(postgres.temporary()).url
        if not os.environ.get("REDIS_URL"):
            os.environ["REDIS_URL"] = _servers.enter_context(valkey.temporary()).url
    except LocalError as error:
        raise pytest.UsageError(str(error)) from None
    return (yield)


def pytest_unconfigure() -> None:
    _servers.close()
