"""`python -m ops.stripe --port P --file STATE.sqlite3`: a Stripe of one's own."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from pathlib import Path

from ops.stripe.server import Server


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ops.stripe", description="A local Stripe.")
    parser.add_argument("--port", type=int, required=True, help="on 127.0.0.1; 0: any that is free")
    parser.add_argument("--file", type=Path, required=True, help="the SQLite file that keeps all state")
    parser.add_argument("--webhook", default="", help="where webhooks are sent")
    parser.add_argument("--grace-hours", type=float, help="how long an invoice stays a draft; else 1")
    given = parser.parse_args(arguments)
    # Not an argument: arguments of a process are there for all to read.
    secret = os.environ.get("STRIPE_WEBHOOK_SECRET", "")
    if given.webhook and not secret:
        parser.error("--webhook needs STRIPE_WEBHOOK_SECRET in the environment, to sign with.")
    given.file.parent.mkdir(parents=True, exist_ok=True)
    try:
        server = Server(
            given.port, given.file, {"url": given.webhook, "secret": secret} if given.webhook else None
        )
    except OSError as error:
        print(f"Port {given.port} cannot be listened on: {error.strerror}.", file=sys.stderr)
        return 1

    if given.grace_hours is not None:
        with server.world.store.transaction():
            server.world.store.set("grace", int(given.grace_hours * 3600))

    def end(number: int, frame: object) -> None:
        server.ending.set()
        threading.Thread(target=server.shutdown, daemon=True).start()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    server.begin()
    print(f"the local Stripe listens at {server.base_url}", file=sys.stderr, flush=True)
    server.serve_forever(poll_interval=0.1)
    server.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
