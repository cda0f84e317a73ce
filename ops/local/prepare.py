"""Make the database ready for the service: three commands of manage.py in one process, since most of what
each of them takes is to start.

    python -m ops.local.prepare [--demo SECRETS] [--stripe]
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from django.conf import settings
from django.core.management import CommandError, call_command


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ops.local.prepare", description="Prepare a database.")
    parser.add_argument("--demo", type=Path, metavar="SECRETS", help="seed the demo; its secrets go in there")
    parser.add_argument("--stripe", action="store_true", help="tell Stripe of products, prices and customers")
    given = parser.parse_args(arguments)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup()
    try:
        call_command("migrate", interactive=False)
        call_command("region", "add", settings.REGION, "--unless-there", stdout=io.StringIO())
        if given.demo:
            # It says the key and the password; they are in the file, and in no log.
            call_command("seed_demo", secrets=given.demo, stdout=io.StringIO())
        if given.stripe:
            call_command("stripe_sync")
    except CommandError as error:
        print(f"CommandError: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
