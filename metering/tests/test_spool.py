"""Records on a real disk: killed processes, torn lines, a full disk, two processes in one folder."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from metering import spool as module
from metering.spool import Batch, Segment, Spool, SpoolError

MANY = 1 << 30


def lines(*texts: str) -> list[bytes]:
    return [f"{text}\n".encode() for text in texts]


def handed(spool: Spool) -> list[Batch]:
    """All that waits, as batches that the broker has taken."""
    batches = []
    while (segment := spool.take()) is not None:
        found, end = spool.read(segment, segment.taken, segment.size)
        batches.append(Batch(segment, segment.taken, end))
        spool.taken(batches[-1], len(found))
    return batches


def texts(spool: Spool, batches: list[Batch]) -> list[str]:
    found = [line for batch in batches for line in spool.read(batch.segment, batch.start, batch.end)[0]]
    return [line.decode() for line in found]


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


@contextmanager
def disk_that_takes(size: int) -> Iterator[None]:
    """Files may not grow past this, so a write stops in the middle, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    made = Spool(tmp_path / "usage", MANY)
    yield made
    made.close()


def test_what_is_appended_is_in_its_file_at_once_and_gone_when_it_is_stored(spool: Spool) -> None:
    assert files(spool.folder) == []
    spool.append(lines("a", "b"))
    assert files(spool.folder)[0].read_bytes() == b"a\nb\n"
    assert (spool.waiting, spool.bytes) == (2, 4)
    batches = handed(spool)
    assert texts(spool, batches) == ["a", "b"]
    assert (spool.waiting, spool.bytes) == (0, 4)
    spool.dispose(spool.stored(batches))
    assert (files(spool.folder), spool.bytes) == ([], 0)
    spool.append(lines("c"))
    assert texts(spool, handed(spool)) == ["c"]


def test_a_file_stays_until_the_last_of_it_is_stored(spool: Spool) -> None:
    spool.append(lines("a"))
    first = handed(spool)
    spool.append(lines("b"))
    second = handed(spool)
    assert spool.stored(second) == []
    (segment,) = spool.stored(first)
    spool.dispose([segment])
    assert files(spool.folder) == []


def test_files_are_bounded_and_read_oldest_first(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEGMENT_BYTES", 10)
    for number in range(40):
        spool.append(lines(str(number)))
    assert len(files(spool.folder)) >= 10
    batches = handed(spool)
    assert texts(spool, batches) == [str(number) for number in range(40)]
    spool.dispose(spool.stored(batches))
    assert files(spool.folder) == []


def test_a_batch_is_read_in_pieces_of_whole_lines(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH_BYTES", 8)
    spool.append(lines("abc", "def", "ghi", "more than is read at a time"))
    batches = handed(spool)
    assert len(batches) >= 3
    assert texts(spool, batches)[:3] == ["abc", "def", "ghi"]
    # Nothing is stuck on what is no line of ours.
    assert "".join(texts(spool, batches)[3:]) == "more than is read at a time"


def test_it_is_full_at_its_bound_and_has_room_for_as_much_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 4)
    spool.append(lines("a"))
    assert (spool.full, spool.room) == (False, 6)
    spool.append(lines("b"))
    assert (spool.full, spool.room) == (True, 4)
    spool.dispose(spool.stored(handed(spool)))
    assert (spool.full, spool.room) == (False, 8)
    spool.close()


# ---- who had it before


def test_what_a_killed_process_has_left_is_taken_over(tmp_path: Path) -> None:
    program = f"""
import time
from pathlib import Path
from metering.spool import Spool
Spool(Path({str(tmp_path)!r}), 1 << 30).append([b"one\\n", b"two\\n"])
print("written", flush=True)
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=os.environ)
    assert process.stdout is not None
    spool = Spool(tmp_path, MANY)
    try:
        assert process.stdout.readline() == b"written\n"
        assert spool.adopt() == []  # it lives
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    spool.add(spool.adopt())
    assert (spool.waiting, spool.bytes) == (2, 8)
    batches = handed(spool)
    assert texts(spool, batches) == ["one", "two"]
    spool.dispose(spool.stored(batches))
    assert files(tmp_path) == []


def test_no_two_take_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEGMENT_BYTES", 2)
    before = Spool(tmp_path, MANY)
    for number in range(6):
        before.append(lines(str(number)))
    before.close()
    first, second = Spool(tmp_path, MANY), Spool(tmp_path, MANY)
    monkeypatch.setattr(module, "MAX_SEGMENTS", 3)
    first.add(first.adopt())
    second.add(second.adopt())
    assert texts(first, handed(first)) == ["0", "1", "2"]
    assert texts(second, handed(second)) == ["3", "4", "5"]
    first.close()
    second.close()
    # Handed over, but nobody has heard that it is stored: the next one begins anew.
    monkeypatch.setattr(module, "MAX_SEGMENTS", 99)
    third = Spool(tmp_path, MANY)
    third.add(third.adopt())
    assert texts(third, handed(third)) == [str(number) for number in range(6)]
    third.close()


def test_what_is_new_comes_after_what_was_left(tmp_path: Path) -> None:
    before = Spool(tmp_path, MANY)
    before.append(lines("old"))
    before.close()
    spool = Spool(tmp_path, MANY)
    spool.append(lines("new"))
    spool.add(spool.adopt())
    assert texts(spool, handed(spool)) == ["old", "new"]
    spool.close()


@pytest.mark.parametrize(("left", "kept"), [(b"one\ntwo\nthr", ["one", "two"]), (b"on", []), (b"", [])])
def test_a_torn_last_line_is_left_out_and_said(
    tmp_path: Path, left: bytes, kept: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "x.jsonl").write_bytes(left)
    spool = Spool(tmp_path, MANY)
    spool.add(spool.adopt())
    assert texts(spool, handed(spool)) == kept
    assert ("in the middle of a record" in caplog.text) == bool(left)
    assert len(files(tmp_path)) == bool(kept)  # nothing is left of a file with nothing in it
    spool.close()


def test_other_files_are_nobodys_and_what_cannot_be_read_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "notes.txt").write_text("not ours\n")
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "good.jsonl").write_text("one\n")
    spool = Spool(tmp_path, MANY)
    spool.add(spool.adopt())
    assert texts(spool, handed(spool)) == ["one"]
    assert "cannot read" in caplog.text
    assert "folder.jsonl" in caplog.text
    spool.close()
    assert (tmp_path / "notes.txt").read_text() == "not ours\n"


# ---- a disk that does not work


def test_a_folder_that_cannot_be_used_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolError, match=r"USAGE_SPOOL_DIR: .*file.* must be a folder on a local disk"):
        Spool(tmp_path / "file", MANY)
    with pytest.raises(SpoolError, match="USAGE_SPOOL_DIR"):
        Spool(tmp_path / "file" / "below", MANY)


def test_a_full_disk_takes_all_of_it_or_nothing(spool: Spool) -> None:
    spool.append(lines("a" * 9))
    with disk_that_takes(15), pytest.raises(SpoolError, match=str(spool.folder)):
        spool.append(lines("b" * 9))
    assert (spool.waiting, spool.bytes) == (1, 10)
    assert files(spool.folder)[0].read_bytes() == b"a" * 9 + b"\n"
    spool.append(lines("c" * 9))
    assert texts(spool, handed(spool)) == ["a" * 9, "c" * 9]


def test_a_folder_that_is_gone_is_said_and_one_that_is_back_is_used(
    spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.rmtree(spool.folder)
    with pytest.raises(SpoolError, match="No such file"):
        spool.append(lines("a"))
    assert spool.adopt() == []
    assert "cannot look into" in caplog.text
    spool.folder.mkdir()
    spool.append(lines("a"))
    assert texts(spool, handed(spool)) == ["a"]


def test_a_file_that_is_cut_off_is_not_believed(spool: Spool) -> None:
    spool.append(lines("one", "two"))
    (batch,) = handed(spool)
    os.truncate(files(spool.folder)[0], 5)
    with pytest.raises(OSError, match="shorter"):
        spool.read(batch.segment, batch.start, batch.end)


def test_what_was_appended_is_synced_once(spool: Spool) -> None:
    def unsynced() -> list[Segment]:
        return [segment for segment in spool._segments if segment.synced < segment.size]

    spool.append(lines("a"))
    assert len(unsynced()) == 1
    spool.sync()
    assert unsynced() == []
    spool.append(lines("b"))
    assert len(unsynced()) == 1
    spool.sync()
    spool.dispose(spool.stored(handed(spool)))
    spool.sync()  # nothing is there any more


def test_what_is_closed_is_not_read_by_mistake(spool: Spool) -> None:
    spool.append(lines("a"))
    (batch,) = handed(spool)
    spool.close()
    with pytest.raises(OSError, match="Bad file"):
        spool.read(batch.segment, batch.start, batch.end)
