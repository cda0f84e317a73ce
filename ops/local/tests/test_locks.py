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


PINS = {lock.name: locks.pinned(lock.path.read_text()) for lock in LOCKS}


def test_the_base_pulls_in_no_engine_of_gigabytes():
    assert not {"torch", "nemo-toolkit", "nvidia-riva-client", "pytest"} & set(PINS["base"])


def test_one_environment_can_hold_base_nemo_and_dev():
    for smaller, larger in (("base", "nemo"), ("base", "dev")):
        assert {name: PINS[larger].get(name) for name in PINS[smaller]} == PINS[smaller]
    both = set(PINS["nemo"]) & set(PINS["dev"])
    assert {name: PINS["nemo"][name] for name in both} == {name: PINS["dev"][name] for name in both}


def test_what_only_gpus_need_is_apart():
    assert "torch" in PINS["nemo"]
    assert not [name for name in PINS["nemo"] if name.startswith(("nvidia", "cuda", "triton"))]
    cuda = (locks.FOLDER / "cuda.lock").read_text()
    assert {"cuda-toolkit", "nvidia-cublas", "triton"} <= set(locks.pinned(cuda))
    assert f"{locks.FROM}{locks.digest(LOCKS[0])}\n" in cuda


def test_a_lock_is_split_without_losing_a_line():
    both = (
        "cuda-toolkit==1\nnumpy==2\nnv-one-logger-core==2\nnvidia-nccl-cu13==2 ; x\ntriton==3\ntritons==1\n"
    )
    every, gpus = locks.split(both)
    assert every.split() == ["numpy==2", "nv-one-logger-core==2", "tritons==1"]
    assert gpus == "cuda-toolkit==1\nnvidia-nccl-cu13==2 ; x\ntriton==3\n"


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
