"""Make the control database of `make regions` ready: what `ops.local.prepare` does, the regions with their
addresses, and a tenant of each residency with a key.

    python -m ops.local.regions_seed --demo SECRETS --keys FILE --places JSON
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from ops.local import prepare
from ops.local.running import read_json, write_json


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ops.local.regions_seed", description="Seed the regions.")
    parser.add_argument("--demo", type=Path, required=True, metavar="SECRETS")
    parser.add_argument("--keys", type=Path, required=True, metavar="FILE", help="the tenants' keys")
    parser.add_argument("--places", type=json.loads, required=True, metavar="JSON")
    given = parser.parse_args(arguments)
    if failed := prepare.main(["--demo", str(given.demo), "--stripe"]):
        return failed
    # These import models, which exist only after the line above.
    from regions import demo

    known = {name: key for name, key in read_json(given.keys).items() if isinstance(key, str)}
    write_json(given.keys, demo.seed(given.places, known))
    return 0


if __name__ == "__main__":
    sys.exit(main())
