import re

import pytest

from ops.local import locks
from ops.local.locks import LOCKS, Lock


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_the_lock_belongs_to_pyproject(lock):
    assert locks.stale(lock) is None, "run `make lock` and commit what it writes"


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_the_lock_works_with_any_index_on_any_machine(lock):
    lines = lock.path.read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith(("#", "    --hash="))]
    assert all(re.fullmatch(r"[a-z0-9.-]+==[^\s;\\]+( ; [^\\]+)?( \\)?", pin) for pin in pins)
    assert any("--hash=" in line for line in lines) is lock.hashes


def test_the_base_pulls_in_no_engine_of_gigabytes():
    base = locks.pinned(LOCKS[0].path.read_text())
    assert not {"torch", "nemo-toolkit", "nvidia-riva-client", "pytest"} & set(base)


def test_one_environment_can_hold_base_and_dev():
    base, dev = (locks.pinned(lock.path.read_text()) for lock in LOCKS[:2])
    assert {name: dev.get(name) for name in base} == base


@pytest.fixture
def lock(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "FOLDER", tmp_path)
    monkeypatch.setattr(
        locks,
        "_project",
        lambda: {
            "requires-python": ">=3.11",
            "dependencies": ["Django>=5.2,<5.3", "a_package[x]>=1"],
            "optional-dependencies": {"dev": ["mypy"]},
        },
    )
    lock = Lock("dev", extra="dev", within=None)
    good = (
        f"{locks.FROM}{locks.digest(lock)}\ndjango==5.2.1 \\\n    --hash=x\na-package==1.0\nmypy==1.0 ; x\n"
    )
    lock.path.write_text(good)
    return lock


def test_a_fresh_lock_is_not_stale(lock):
    assert locks.stale(lock) is None


@pytest.mark.parametrize(
    ("old", "new", "because"),
    [
        ("dependencies it names: ", "dependencies it names: 0", "not those that dev.lock was made from"),
        ("mypy==1.0", "mypy-extensions==1.0", "mypy is not in dev.lock"),
        ("django==5.2.1", "django==5.3", "Django 5.3 in dev.lock is not <5.3,>=5.2"),
    ],
)
def test_a_stale_lock_says_why(lock, old, new, because):
    lock.path.write_text(lock.path.read_text().replace(old, new))
    assert because in locks.stale(lock)


def test_a_missing_lock_is_stale(lock):
    lock.path.unlink()
    assert locks.stale(lock) == "dev.lock is not there"
