import ctypes
import platform

import pytest

from inference_worker.engines.nemo import allocator


def test_glibc_takes_the_thresholds_and_others_are_left_alone() -> None:
    assert allocator.keep_memory() is (platform.libc_ver()[0] == "glibc")


def test_without_glibc_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert not allocator.keep_memory()
