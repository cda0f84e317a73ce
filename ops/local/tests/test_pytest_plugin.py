"""What of the shell gets into a test run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ops.local import pytest_plugin

ROOT = Path(__file__).parents[3]
TEST = """
import os

def test_it(stripe_sandbox_key):
    assert stripe_sandbox_key == "sk_test_x"
    assert "STRIPE_API_KEY" not in os.environ
    assert "STRIPE_API_BASE" not in os.environ
"""


@pytest.mark.parametrize(
    ("told", "known"),
    [("sk_test_x", "sk_test_x"), ("rk_test_x", "rk_test_x"), ("sk_live_x", ""), ("rk_live_x", ""), ("", "")],
)
def test_only_a_key_of_a_sandbox_is_one(told, known):
    assert pytest_plugin.sandbox_key(told) == known


def test_a_sandbox_s_key_is_for_the_contract_suite_and_nothing_else_gets_in(tmp_path):
    (tmp_path / "test_it.py").write_text(TEST)
    environ = {
        "PATH": os.environ["PATH"],
        "STRIPE_API_KEY": "sk_test_x",
        "STRIPE_API_BASE": "http://127.0.0.1:1",
    }
    options = ["-q", "-p", "no:cacheprovider", "-c", "pyproject.toml"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(tmp_path)],
        cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
