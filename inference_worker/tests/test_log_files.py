from __future__ import annotations

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from inference_worker import log_files
from inference_worker.log_files import LogFile
from inference_worker.tests.logs import full_after

ROOT = Path(__file__).resolve().parents[2]
# What a worker does with its file, in a process of its own: makes it, says so, holds it until it is killed.
HOLD = """
import sys, uuid
from pathlib import Path
from inference_worker.log_files import LogFile
file = LogFile.create(Path(sys.argv[1]), uuid.uuid4(), b"L head\\n", 0.0)
print(file.path, flush=True)
sys.stdin.read()
"""


def create(folder: Path) -> LogFile:
    return LogFile.create(folder, uuid.uuid4(), b"L head\n", 0.0)


def test_a_file_begins_with_its_head_and_grows_at_its_end(tmp_path: Path) -> None:
    file = create(tmp_path)
    file.append(b"one\n")
    file.append(b"two\n")
    file.sync()
    assert file.path.read_bytes() == file.read(0, 100) == b"L head\none\ntwo\n"
    assert file.size == 15
    assert [path.name for path in tmp_path.iterdir()] == [file.path.name]
    file.remove()
    assert list(tmp_path.iterdir()) == []


def test_the_file_of_a_worker_that_lives_is_nobody_elses_and_that_of_a_dead_one_is(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    path = Path(holder.stdout.readline().strip())
    assert LogFile.adopt(path) is None
    holder.kill()
    holder.communicate()
    file = LogFile.adopt(path)
    assert file is not None
    assert file.extent.last
    assert file.read(0, file.extent.size) == b"L head\n"
    assert LogFile.adopt(path) is None  # now it is ours
    file.close()
    again = LogFile.adopt(path)
    assert again is not None
    again.remove()
    assert LogFile.adopt(path) is None


def test_a_write_on_a_full_disk_is_taken_back(tmp_path: Path) -> None:
    file = create(tmp_path)
    with full_after(20):
        file.append(b"one\n")
        with pytest.raises(OSError, match="9 of 21 bytes"):
            file.append(b"two and a half lines\n")
        with pytest.raises(OSError, match="bytes"):
            file.append(b"two and a half lines\n")
    file.append(b"three\n")
    assert file.path.read_bytes() == b"L head\none\nthree\n"
    assert file.size == len(b"L head\none\nthree\n")
    file.close()


def test_a_file_that_cannot_be_begun_leaves_nothing(tmp_path: Path) -> None:
    with full_after(3), pytest.raises(OSError, match="bytes"):
        create(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_read_is_put_aside(tmp_path: Path) -> None:
    file = create(tmp_path)
    file.put_aside()
    # Its number is anybody's now, such as that of a connection to the database.
    other = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(OSError, match="Bad file descriptor"):
        file.append(b"P\n")
    with pytest.raises(OSError, match="Bad file descriptor"):
        file.sync()
    os.close(other)
    assert log_files.others(tmp_path) == []
    assert [path.suffix for path in tmp_path.iterdir()] == [log_files.UNREADABLE]


def test_files_are_found_oldest_first(tmp_path: Path) -> None:
    files = [create(tmp_path) for _ in range(3)]
    for at, file in zip((30, 10, 20), files, strict=True):
        os.utime(file.path, (at, at))
    assert log_files.others(tmp_path) == [files[1].path, files[2].path, files[0].path]
    for file in files:
        file.close()


def test_free_space_is_that_of_the_folders_disk(tmp_path: Path) -> None:
    assert log_files.free_bytes(tmp_path) > 0
    log_files.sync_folder(tmp_path)
