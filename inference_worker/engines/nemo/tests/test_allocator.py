import ctypes
import platform

import pytest

from inference_worker.engines.nemo import allocator


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="there is no glibc here")
def test_glibc_takes_the_thresholds() -> None:
    assert allocator.keep_memory()


def test_without_glibc_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert not allocator.keep_memory()
