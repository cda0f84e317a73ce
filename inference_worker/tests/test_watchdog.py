from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from inference_worker.watchdog import until_stuck

ROOT = Path(__file__).resolve().parents[2]


async def test_it_ends_once_a_call_takes_longer_than_it_may() -> None:
    asked: list[float] = []

    def busy_s() -> float:
        asked.append(10.0 if len(asked) < 2 else 10.5)
        return asked[-1]

    async with asyncio.timeout(10):
        await until_stuck(busy_s, lambda: 10.0)
    assert asked == [10.0, 10.0, 10.5]


def test_a_process_that_python_s_lock_holds_up_ends_and_says_where() -> None:
    """Such a search never lets go of the lock."""
    program = (
        "import re; from inference_worker import watchdog\n"
        "def holds_the_lock(): re.match('(a+)+$', 'a' * 200 + 'b')\n"
        "watchdog.alive(0.2); holds_the_lock()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "holds_the_lock" in done.stderr


def test_it_may_be_told_again_and_again_and_dismissed() -> None:
    program = (
        "import time; from inference_worker import watchdog\n"
        "for _ in range(4): watchdog.alive(60)\n"
        # It has to outlive the limit: nothing tells that something was not ended.
        "watchdog.alive(0.2); watchdog.dismiss(); time.sleep(0.4)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=60, check=False)
    assert done.returncode == 0
