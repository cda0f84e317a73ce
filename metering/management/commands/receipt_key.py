"""Make a key to sign receipts with, and print the line for the environment."""

from __future__ import annotations

import os
import re
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from config import env
from metering.receipts import keys


class Command(BaseCommand):
    help = (
        "Make an Ed25519 key to sign receipts with, and print RECEIPT_KEYS with it in front of those in use. "
        "Nothing is kept: put the line into the environment of gateways and Celery. Whoever has it can sign."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--name", metavar="NAME", help="What the key is called, for ever (default: this month, 2026-11)."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        taken = [signer.name for signer in keys.signers()]
        name = options["name"] or timezone.now().strftime("%Y-%m")
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", name):
            raise CommandError("A name is 1 to 64 letters, digits, dots, dashes and underscores.")
        if name in taken:
            raise CommandError(f"{name} is the name of a key in use. Give another one with --name.")
        in_use = os.environ.get(env.RECEIPT_KEYS.name, "").strip()
        self.stdout.write(f"{env.RECEIPT_KEYS.name}={','.join(filter(None, (keys.make(name), in_use)))}")
