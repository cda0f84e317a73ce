from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[1]
ASK = """
import datetime, json, sys, time
from datetime import UTC
def apart():
    return time.time() - time.monotonic()
def look():
    print(json.dumps([
        time.time(), time.time_ns() / 1e9, datetime.datetime.now(UTC).timestamp(),
        datetime.datetime.now().timestamp(), datetime.datetime.utcnow().replace(tzinfo=UTC).timestamp(),
        datetime.datetime.today().timestamp(), time.monotonic(),
        isinstance(datetime.datetime(2026, 1, 1), datetime.datetime),
        type(datetime.datetime.fromisoformat("2026-01-01")).__name__,
    ]), flush=True)
look()
seen = apart()
for line in sys.stdin:
    until = time.monotonic() + 10
    while abs(apart() - seen) < 60 and time.monotonic() < until:
        time.sleep(0.01)  # it looks at the file now and then
    seen = apart()
    look()
"""


def test_the_wall_clock_jumps_and_the_monotonic_one_does_not(tmp_path: Path) -> None:
    clock = tmp_path / "ahead"
    clock.write_text("0")
    environ = {**os.environ, "PYTHONPATH": str(FOLDER), "CHAOS_CLOCK": str(clock)}
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", ASK],
        env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        looks = [json.loads(process.stdout.readline())]
        for ahead in ("3600", "-3600"):
            clock.write_text(ahead)
            process.stdin.write("\n")
            process.stdin.flush()
            looks.append(json.loads(process.stdout.readline()))
        process.stdin.close()
    before, ahead, behind = looks
    for number in range(6):
        assert 3600 <= ahead[number] - before[number] < 3700
        assert -3600 <= behind[number] - before[number] < -3500
    assert before[6] < ahead[6] < behind[6] < before[6] + 100
    assert before[7:] == [True, "datetime"]
    assert (tmp_path / "ahead.seen").read_text().split() == ["3600", "-3600"]
