"""The commands of the pages are run as they stand there, which takes curl."""

from __future__ import annotations

import shutil

import pytest

needs_curl = pytest.mark.skipif(
    shutil.which("curl") is None,
    reason="curl is not installed; tests/integration asks for the same with httpx",
)
