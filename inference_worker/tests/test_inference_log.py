from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from inference_worker import inference_log, log_files
from inference_worker.inference_log import NotWritten
from inference_worker.log_files import LogFile
from inference_worker.tests.logs import Kept, full_after


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    kept = Kept(tmp_path)
    kept.log.begin()
    yield kept
    kept.close()


def marks(kept: Kept) -> list[str]:
    return [line for line in kept.text().splitlines() if line.startswith("M")]


def test_what_append_has_returned_from_is_in_the_file(kept: Kept) -> None:
    kept.log.append(kept.now, "P one\n")
    kept.log.append(kept.now, "P two\nC three\n")
    assert kept.text().splitlines()[1:] == ["P one", "P two", "C three"]


def test_a_mark_parts_each_two_seconds_from_the_next(kept: Kept) -> None:
    for at in (1000.0, 1001.9, 1002.0, 1003.0, 1004.5):
        kept.log.append(at, f"P {at}\n")
    assert [line[0] for line in kept.text().splitlines()[1:]] == ["P", "P", "M", "P", "P", "M", "P"]


def test_no_mark_lies_in_another_day_than_what_is_above_it(kept: Kept) -> None:
    midnight = 86_400.0 * 20_000
    kept.log.append(midnight - 1.5, "P before\n")
    kept.log.append(midnight, "P after\n")
    lines = kept.text().splitlines()
    assert lines[lines.index("P before") + 1].startswith("M ")


def test_only_what_is_above_a_mark_may_be_shipped(kept: Kept) -> None:
    [file] = kept.files
    head = file.size
    kept.log.append(1000.0, "P one\n")
    assert file.extent.size == head
    kept.log.append(1002.0, "P two\n")
    assert file.read(0, file.extent.size).decode().splitlines()[-1].startswith("M ")
    assert file.extent.until == 1002.0
    kept.now = 1003.0
    kept.log.look_after()
    assert file.extent.until == 1002.0
    kept.now = 1004.0
    kept.log.look_after()
    assert (file.extent.size, file.extent.until) == (file.size, 1004.0)


def test_when_nothing_happens_nothing_is_written_and_that_is_said(kept: Kept) -> None:
    kept.now = 1002.0
    kept.log.look_after()
    size = kept.files[0].size
    kept.now = 2000.0
    kept.log.look_after()
    assert kept.files[0].size == size
    assert kept.files[0].extent.until == 2000.0


def test_a_large_file_is_followed_by_another_that_begins_with_the_open_streams(tmp_path: Path) -> None:
    kept = Kept(tmp_path, max_file_bytes=300)
    kept.log.redeclare = lambda at: f"O open at {at}\n"
    kept.log.begin()
    kept.log.append(kept.now, "P" * 300 + "\n")
    kept.log.look_after()
    first, second = kept.files
    assert first.extent.last
    assert first.extent.size == first.size
    assert second.path.read_text().splitlines()[1] == "O open at 1000.0"
    kept.log.append(kept.now, "P more\n")
    assert second.path.read_text().endswith("P more\n")
    kept.close()


def test_each_boot_has_a_file_of_its_own(tmp_path: Path) -> None:
    first, second = Kept(tmp_path), Kept(tmp_path)
    first.log.begin()
    second.log.begin()
    assert first.files[0].path != second.files[0].path
    for kept in (first, second):
        kept.close()


def test_a_full_disk_is_trouble_until_there_is_room_again(kept: Kept) -> None:
    kept.log.append(kept.now, "P one\n")
    with full_after(kept.large() + 3):
        with pytest.raises(NotWritten):
            kept.log.append(kept.now, "P two\n")
        assert kept.log.trouble is not None
        assert kept.log.trouble.startswith("not recorded (")
        with pytest.raises(NotWritten):
            kept.log.append(kept.now, "P three\n")
    with full_after(3):
        kept.log.look_after()  # not even a file can be begun
        assert kept.log.trouble
    kept.log.look_after()
    assert kept.log.trouble is None
    first, second = kept.files
    assert first.extent.last
    assert [line[:5] for line in first.path.read_text().splitlines()[1:]] == ["P one", "#    "]
    kept.log.append(kept.now, "P four\n")
    assert second.path.read_text().endswith("P four\n")
    assert b"worker_inference_log_write_failures_total 2.0" in kept.telemetry.page()


def test_a_disk_with_too_little_room_is_not_tried_again(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    with full_after(kept.large()), suppress(NotWritten):
        kept.log.append(kept.now, "P one\n")
    monkeypatch.setattr(inference_log, "MIN_FREE_BYTES", 1 << 62)
    kept.log.look_after()
    assert kept.log.trouble
    assert len(kept.files) == 1


def test_too_much_that_is_not_shipped_is_trouble_and_still_recorded(kept: Kept) -> None:
    kept.unshipped = kept.max_bytes + 1
    kept.log.look_after()
    assert kept.log.trouble == "too much of it is not in the database"
    kept.log.append(kept.now, "P one\n")
    assert kept.text().endswith("P one\n")
    kept.unshipped = kept.max_bytes
    kept.log.look_after()
    assert kept.log.trouble is None


def test_before_its_first_file_and_after_the_last_nothing_can_be_written(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    with pytest.raises(NotWritten):
        kept.log.append(kept.now, "P\n")
    kept.log.begin()
    kept.log.close()
    assert kept.files[0].extent.last
    with pytest.raises(NotWritten):
        kept.log.append(kept.now, "P\n")
    kept.close()


def test_a_folder_that_cannot_be_synced_is_trouble_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(log_files, "sync_folder", broken)
    kept = Kept(tmp_path)
    with pytest.raises(OSError, match="Input/output error"):
        kept.log.begin()
    assert (kept.files, list(tmp_path.iterdir())) == ([], [])


async def test_each_file_is_synced_also_the_end_of_one_that_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Said of each: how large it was when it was last on the disk."""
    synced: dict[Path, int] = {}
    monkeypatch.setattr(LogFile, "sync", lambda file: synced.update({file.path: file.size}))
    monkeypatch.setattr(inference_log, "LOOKS_EVERY_S", 0.001)
    kept = Kept(tmp_path, max_file_bytes=300)
    kept.log.begin()
    keeping = asyncio.create_task(kept.log.keep())
    async with asyncio.timeout(10):
        while not synced:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        kept.log.append(kept.now, "P" * 300 + "\n")
        while len(synced) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    keeping.cancel()
    with suppress(asyncio.CancelledError):
        await keeping
    kept.log.append(kept.now, "P last\n")
    kept.log.close()
    assert synced == {file.path: file.size for file in kept.files}
    kept.close()


async def test_it_looks_after_itself(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference_log, "LOOKS_EVERY_S", 0.001)
    kept.log.append(kept.now, "P one\n")
    kept.now += 2
    keeping = asyncio.create_task(kept.log.keep())
    async with asyncio.timeout(10):
        while not marks(kept):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    keeping.cancel()
    with suppress(asyncio.CancelledError):
        await keeping
