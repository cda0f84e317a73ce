"""A PostgreSQL whose database is migrated already: made once in a run of the tests, copied for each service.

To make a cluster and migrate its database costs as much computing as to start a gateway. It is made anew by
each run, of the migrations as they are then, so it is never stale; and a service migrates its copy as ever.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from ops.local import ports, postgres

ROOT = Path(__file__).parents[2]
MIGRATE = """
import django
django.setup()
from django.core.management import call_command
call_command("migrate", interactive=False, verbosity=0)
"""


def lend(data: Path) -> None:
    """A copy at `data`, for whoever will own that folder."""
    data.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", str(_cluster()), str(data)], check=True)


@cache
def _cluster() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="stenogate-migrated-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o755)  # PostgreSQL runs as another user when we are root
    data = folder / "postgres"
    server = postgres.start(data, ports.free_port(), durable=False)
    try:
        told = {
            "DJANGO_SETTINGS_MODULE": "config.settings", "DEMO": "true", "DATABASE_URL": server.url,
            "REDIS_URL": "redis://127.0.0.1:1/0", "SECRET_KEY": "only-to-migrate-" * 4,
            "PYTHONPATH": os.pathsep.join((str(ROOT / "platform"), str(ROOT))),
        }  # fmt: skip
        environ = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | told
        subprocess.run([sys.executable, "-W", "ignore", "-c", MIGRATE], env=environ, cwd=ROOT, check=True)
    finally:
        server.stop()
    return data.resolve()
