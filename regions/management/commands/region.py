"""The regions: which there are, how they are, and taking one out of service and back."""

from __future__ import annotations

import getpass
import json
import time
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from regions import selectors, services
from regions.drain import progress
from regions.errors import RegionTaken
from regions.routing import Region, State
from regions.selectors import Process
from tenants.errors import Refused

EVERY_S = 1.0
STREAMS_LEFT = 3  # the exit code of a drain whose time is over
USUAL_WITHIN_S, LONGEST_WITHIN_S = 900, 86_400


class Command(BaseCommand):
    help = "Show the regions; add and change them; drain one, take it down, and put it back into service."

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True)
        status = commands.add_parser(
            "status", help="every region, what its gateways report, and what they go by"
        )
        status.add_argument("name", nargs="?", help="only this one, with its processes")
        status.add_argument("--json", action="store_true", help="for scripts")
        for verb, text in (("add", "write down a region"), ("set", "change what is given")):
            command = commands.add_parser(verb, help=text)
            command.add_argument("name")
            command.add_argument("--address", help="what clients are sent to: https://eu.stt.example.com")
            command.add_argument("--zone", help="of regions that will do, those of the same zone come first")
            if verb == "add":
                command.add_argument(
                    "--unless-there", action="store_true", help="it is well if it was added before"
                )
            command.add_argument(
                "--capacity", type=_capacity, help="streams; none: as many as its gateways and workers take"
            )
        drain = commands.add_parser(
            "drain",
            help="no new streams; those that can come back are sent to other regions, the others finish. "
            f"Exit code 0: none is left; {STREAMS_LEFT}: some are, and the time is over",
        )
        drain.add_argument("name")
        drain.add_argument(
            "--within", type=_seconds, default=USUAL_WITHIN_S, metavar="SECONDS",
            help=f"how long to watch (default {USUAL_WITHIN_S}); nothing is ended after it",
        )  # fmt: skip
        drain.add_argument("--no-wait", action="store_true", help="do not watch")
        for verb, text in (
            ("undrain", "into service again"),
            ("up", "the same, after down"),
            ("down", "out of service now: streams that cannot be sent on are ended with region_draining"),
        ):
            commands.add_parser(verb, help=text).add_argument("name")

    def handle(self, *args: Any, **options: Any) -> None:
        command = getattr(self, f"_{options['command']}")
        try:
            command(**options)
        except Refused as error:
            raise CommandError(str(error)) from None

    # ---- what there is

    def _add(self, name: str, **options: Any) -> None:
        given = {key: options[key] for key in ("address", "zone") if options[key] is not None}
        capacity = options["capacity"]
        try:
            version = services.add_region(name, **given, capacity=capacity or None, actor=who())
        except RegionTaken:
            if not options["unless_there"]:
                raise
            self.stdout.write(f"{name} is there already.")
            return
        self.stdout.write(f"{name} is added (configuration {version}).")

    def _set(self, name: str, **options: Any) -> None:
        given = {key: options[key] for key in ("address", "zone") if options[key] is not None}
        if options["capacity"] is not None:
            given["capacity"] = options["capacity"] or None
        if not given:
            raise CommandError("Give --address, --zone or --capacity.")
        version = services.change_region(name, actor=who(), **given)
        self.stdout.write(f"{name} is changed (configuration {version}).")

    def _status(self, name: str | None, **options: Any) -> None:
        view, found = selectors.view(-1), selectors.processes(name)
        regions = [r for r in sorted(view.regions.values(), key=lambda r: r.name) if name in (None, r.name)]
        if name and not regions:
            there = ", ".join(sorted(view.regions)) or "none"
            raise CommandError(f"There is no region {name!r}. There are: {there}.")
        if options["json"]:
            rows = [
                {**asdict(r), "room": r.room, "processes": [asdict(p) for p in found if p.region == r.name]}
                for r in regions
            ]
            self.stdout.write(json.dumps({"version": view.version, "regions": rows}))
            return
        if not regions:
            self.stdout.write("No region is written down, and no gateway reports.")
            return
        for line in table(regions, found, view.version):
            self.stdout.write(line)
        if name:
            for process in found:
                self.stdout.write(_process(process, view.version))

    # ---- out of service and back

    def _drain(self, name: str, **options: Any) -> None:
        version = services.set_state(name, State.DRAINING, actor=who())
        self.stdout.write(f"{name} takes no new streams (configuration {version}).")
        if options["no_wait"]:
            return
        ends = time.monotonic() + options["within"]
        try:
            while not (now := progress(selectors.processes(name), version)).done:
                self.stdout.write(f"  {now.line}")
                if time.monotonic() >= ends:
                    raise CommandError(
                        f"{now.left} left after {options['within']:g} s. They go on; run it again to watch, "
                        f"or end them with: manage.py region down {name}",
                        returncode=STREAMS_LEFT,
                    )
                time.sleep(EVERY_S)
        except KeyboardInterrupt:
            raise CommandError(
                f"{name} goes on draining. To take it back: manage.py region undrain {name}", returncode=130
            ) from None
        self.stdout.write(f"  {now.line}\n{name} is drained.")

    def _undrain(self, name: str, **options: Any) -> None:
        version = services.set_state(name, State.ACTIVE, actor=who())
        self.stdout.write(f"{name} takes streams (configuration {version}).")

    _up = _undrain

    def _down(self, name: str, **options: Any) -> None:
        version = services.set_state(name, State.DOWN, actor=who())
        self.stdout.write(f"{name} is out of service (configuration {version}).")


def table(regions: Sequence[Region], processes: Sequence[Process], version: int) -> list[str]:
    rows = [("REGION", "STATE", "GATEWAYS", "STREAMS", "ROOM", "CAPACITY", "CONFIG", "ZONE", "ADDRESS")]
    for region in regions:
        heard = [p.version for p in processes if p.region == region.name and p.heard]
        own = " (here)" if region.name == settings.REGION else ""
        rows.append(
            (
                region.name + own,
                region.state,
                str(region.gateways) if region.gateways else "silent",
                str(region.streams),
                str(region.room),
                "-" if region.capacity is None else str(region.capacity),
                _goes_by(min(heard), version) if heard else "-",
                region.zone or "-",
                region.address or "-",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return [line.rstrip() for line in lines]


def _process(process: Process, version: int) -> str:
    state = "stopping" if process.draining else f"room for {process.room}"
    if not process.heard:
        state = f"silent for {process.silent_s:.0f} s"
    return f"  {process.label}: {process.streams} streams, {state}, {_goes_by(process.version, version)}"


def _goes_by(applied: int, newest: int) -> str:
    behind = newest - applied
    return f"{applied} ({f'{behind} behind' if behind > 0 else 'current'})"


def who() -> str:
    try:
        return f"{getpass.getuser()} at a terminal"
    except (OSError, KeyError):
        return "a terminal"


def _seconds(text: str) -> float:
    with suppress(ValueError):
        if 0 <= (seconds := float(text)) <= LONGEST_WITHIN_S:
            return seconds
    raise ArgumentTypeError(f"give a number of seconds from 0 to {LONGEST_WITHIN_S}, not {text!r}")


def _capacity(text: str) -> int:
    """0 for none."""
    if text == "none":
        return 0
    if text.isascii() and text.isdecimal() and len(text) < 11 and int(text):
        return int(text)
    raise ArgumentTypeError(f"give a whole number of streams above 0, or none, not {text!r}")
