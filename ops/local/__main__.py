"""`python -m ops.local run | stop | clean | manage | with | sql | valkey | restart`: the service on this
machine, from the wheels alone."""

from __future__ import annotations

import os
import signal
import sys

# Ctrl-C while Python still imports must not print a traceback; the supervisor listens properly later.
signal.signal(signal.SIGINT, lambda number, frame: os._exit(130))

from ops.local.command import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
