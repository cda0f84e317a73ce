from __future__ import annotations

import json
import subprocess
import sys

from tests.benchmarks import machine


def test_a_machine_is_described_in_words_and_figures() -> None:
    described = machine.describe()
    json.dumps(described)
    assert described["cores"] >= 1
    assert described["cpu"] != "unknown"


def test_a_process_is_charged_with_all_it_started() -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass\n"
    program = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}])\ninput()"
    process = subprocess.Popen(
        [sys.executable, "-c", f"{burn}print(flush=True)\n{program}"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.readline()
    used = machine.cpu_seconds({"burner": process.pid, "gone": 2**22 - 1})
    assert 0.25 < used["burner"] < 3
    assert used["gone"] == 0
    process.communicate(b"\n")
