from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.body_errors import UploadTooLarge
from gateway.errors import NoAudio, UploadsFull
from gateway.recorded.uploads import Disk, Upload


async def chunks(*sizes: int) -> AsyncIterator[bytes]:
    for size in sizes:
        yield bytes(size)


async def test_a_recording_is_on_the_disk_and_nowhere_to_be_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    disk = Disk(10_000_000)
    with Upload(disk, 5_000_000) as upload:
        await upload.take(chunks(100_000, 300_000, 7))
        assert upload.size == disk.used == 400_007
        assert upload.sha256 == hashlib.sha256(bytes(400_007)).hexdigest()
        assert upload.path.read_bytes() == bytes(400_007)
        assert upload.path.read_bytes() == bytes(400_007)
        assert os.listdir(tmp_path) == []
        path = upload.path
    assert disk.used == 0
    assert not path.exists()


async def test_one_that_is_too_large_is_refused_by_what_it_says_and_by_what_comes() -> None:
    disk = Disk(10_000)
    with pytest.raises(UploadTooLarge, match="At most 1000 bytes"), Upload(disk, 1000) as upload:
        upload.expect(1001)
    with Upload(disk, 1000) as upload:
        upload.expect(None)
        with pytest.raises(UploadTooLarge):
            await upload.take(chunks(500, 501))
    assert disk.used == 0


async def test_all_together_are_no_more_than_the_disk_may_hold() -> None:
    disk = Disk(1000)
    with Upload(disk, 1000) as first:
        first.expect(600)
        with Upload(disk, 1000) as second:
            with pytest.raises(UploadsFull):
                second.expect(401)
            await second.take(chunks(400))
            with pytest.raises(UploadsFull):
                await second.take(chunks(1))
        await first.take(chunks(600))  # what was promised is there
        assert disk.used == 600
    assert disk.used == 0


async def test_what_a_sink_leaves_out_is_not_the_recording() -> None:
    with Upload(Disk(1000), 1000) as upload:
        await upload.take(chunks(10), lambda data: upload.write(data[:4]))
        assert (upload.size, upload.received) == (4, 10)


def test_nothing_is_no_recording() -> None:
    with pytest.raises(NoAudio, match="empty"), Upload(Disk(1), 1) as upload:
        upload.must_be_something()
