"""The README's first transcript, exactly as it stands there."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.acceptance.stack import ROOT, Stack
from tests.documentation import names

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]


def test_the_example_of_the_readme_works_when_pasted(stack: Stack) -> None:
    (program,) = names.blocks((ROOT / "README.md").read_text(), "python")
    # In the stack's folder, var/run/demo.json is where the reader's is.
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=stack.var.parent, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "ever failed" in done.stdout.lower()
    assert "Metadata" in done.stdout
