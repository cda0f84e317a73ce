from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# In a process of its own, because Daphne installs a reactor as it is read.
SCRIPT = """
import time
from daphne import server, ws_protocol  # first
from twisted.internet import reactor
from gateway import steady
steady.keep_time()
protocol = ws_protocol.WebSocketProtocol()
protocol.socket_opened = ws_protocol.time.time()
due = reactor.callLater(1.0, lambda: None)
now = time.monotonic()
print(due.getTime() - now, reactor.timeout(), protocol.duration(), now - server.time.time())
"""


def test_what_is_due_and_how_old_a_socket_is_does_not_follow_the_wall_clock() -> None:
    said = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT], cwd=Path(__file__).parents[2],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    due_s, wait_s, age_s, apart_s = map(float, said.split())
    assert -60 < due_s <= 1
    assert -60 < wait_s <= 1
    assert 0 <= age_s < 60
    assert -60 < apart_s <= 0.001
