"""Gives tests their environment, and a PostgreSQL and a Valkey of their own where none is given.

Loaded by name (`-p`), before Django reads its settings. With DATABASE_URL or REDIS_URL set, those servers
are used; a server that no test asks for is not started.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from config import env
from ops.local import ports, postgres, valkey
from ops.stripe.process import LocalStripe

_OWN_POSTGRES = "DATABASE_URL" not in os.environ
_OWN_VALKEY = "REDIS_URL" not in os.environ

# A key of a Stripe sandbox is for the contract suite alone: no other test may reach a real Stripe.
_SANDBOX_KEY = os.environ.get("STRIPE_API_KEY", "")

# Nothing else of ours gets in from the shell, so a test run means the same everywhere.
for _variable in env.variables():
    if _variable.name not in ("DATABASE_URL", "REDIS_URL"):
        os.environ.pop(_variable.name, None)
os.environ["SECRET_KEY"] = "only-for-tests-only-for-tests-only-for-tests-only-for-tests"  # noqa: S105
# Small models on a few cores: more threads only wait for each other, and three processes share the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
if _OWN_POSTGRES:
    # Its password is made when it is; the root conftest fills it in.
    os.environ["DATABASE_URL"] = (
        f"postgresql://{postgres.OWNER}@127.0.0.1:{ports.free_port()}/{postgres.DATABASE}"
    )
if _OWN_VALKEY:
    os.environ["REDIS_URL"] = valkey.url(ports.free_port())


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL that answers. Tests of Django ask for pytest-django's `db` instead."""
    if not _OWN_POSTGRES:
        yield os.environ["DATABASE_URL"]
        return
    port = urlsplit(os.environ["DATABASE_URL"]).port or 0
    with _folder() as folder:
        server = postgres.start(Path(folder) / "postgres", port, durable=False)
        os.environ["DATABASE_URL"] = server.url
        yield server.url
        server.stop()


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[str]:
    """The URL of a Valkey that answers; settings.REDIS_URL is the same."""
    url = os.environ["REDIS_URL"]
    if not _OWN_VALKEY:
        yield url
        return
    with _folder() as folder:
        server = valkey.start(Path(folder) / "valkey", urlsplit(url).port or 0, durable=False)
        yield url
        server.stop()


@pytest.fixture(scope="session")
def stripe_sandbox_key() -> str:
    """STRIPE_API_KEY of the test run, if it is one of a sandbox; else empty."""
    return sandbox_key(_SANDBOX_KEY)


def sandbox_key(told: str) -> str:
    return told if told.startswith(("sk_test_", "rk_test_")) else ""


@pytest.fixture(scope="session")
def stripe_process() -> Iterator[LocalStripe]:
    with _folder() as folder:
        server = LocalStripe(Path(folder), ports.free_port())
        yield server
        server.stop()


@pytest.fixture
def local_stripe(stripe_process: LocalStripe) -> Iterator[LocalStripe]:
    """The local Stripe, empty. A test in which it answered what Stripe's document forbids fails."""
    stripe_process.control("reset")
    yield stripe_process
    if broken := stripe_process.control("broken")["broken"]:
        pytest.fail(f"the local Stripe answered what Stripe's document forbids: {broken}")


def _folder() -> tempfile.TemporaryDirectory[str]:
    folder: tempfile.TemporaryDirectory[str] = tempfile.TemporaryDirectory(prefix="stenogate-tests-")
    Path(folder.name).chmod(0o755)  # PostgreSQL may run as another user, who must get in
    return folder
