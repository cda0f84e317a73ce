"""The installer without an index: what it decides, and what it says when it cannot go on."""

import json
import subprocess
import sys
from io import StringIO
from types import SimpleNamespace

import pytest

from ops.local import install
from ops.local.console import Console
from ops.local.errors import LocalError, NoSpace


@pytest.fixture
def venv(tmp_path):
    venv = tmp_path / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(sys.executable)
    return venv


def stamp(venv, lock, digest=None):
    (venv / install.STAMPS).write_text(json.dumps({lock: digest or install.digest(lock, venv)}))


def test_what_the_lock_says_is_installed_once(venv):
    assert not install.is_current("base", venv)
    stamp(venv, "base")
    assert install.is_current("base", venv)
    assert not install.is_current("dev", venv)


@pytest.mark.parametrize(
    ("installed", "satisfied"),
    [
        ("base", ["base"]),
        ("nemo", ["base", "nemo"]),
        ("dev", ["base", "nemo", "dev"]),
        ("riva", ["riva"]),
    ],
)
def test_a_larger_lock_has_all_of_a_smaller_one(venv, installed, satisfied):
    stamp(venv, installed)
    assert [lock for lock in install.PARTS if install.is_current(lock, venv)] == satisfied


def test_a_change_of_any_part_is_seen(venv, monkeypatch, tmp_path):
    for name in ("base", "dev", "nemo"):
        (tmp_path / name).write_text(install._lock(name).read_text())
    stamp(venv, "dev")
    monkeypatch.setattr(install, "_lock", lambda name: tmp_path / name)
    assert install.is_current("dev", venv)
    (tmp_path / "nemo").write_text("torch==9")
    assert not install.is_current("dev", venv)


@pytest.mark.parametrize("stamps", ["{", "[]", '{"base": "another digest"}'])
def test_a_stamp_that_is_not_this_lock_s_does_not_count(venv, stamps):
    (venv / install.STAMPS).write_text(stamps)
    assert not install.is_current("base", venv)


def test_an_environment_without_its_python_does_not_count(venv):
    stamp(venv, "base")
    (venv / "bin" / "python").unlink()
    assert not install.is_current("base", venv)


def test_an_environment_of_another_place_is_made_anew(venv):
    assert not install._works(venv / "bin" / "python", venv)  # it says another sys.prefix
    assert not install._works(venv / "bin" / "nothing", venv)


def test_too_small_a_disk_is_told_before_anything_is_fetched(venv, monkeypatch):
    monkeypatch.setattr(install.shutil, "disk_usage", lambda path: SimpleNamespace(free=50 * 2**20))
    with pytest.raises(NoSpace, match="has 50 MB left; installing needs about 900 MB"):
        install.install("base", venv, Console(StringIO()))


def a_torch(venv, *requires):
    """An environment whose torch says that it needs these."""
    (venv / "bin" / "python").unlink()
    python = venv / "bin" / "python"
    lines = "\n".join(requires)
    python.write_text(f"#!/bin/sh\ncat <<'.'\n{lines}\n.\n")
    python.chmod(0o755)
    return python


@pytest.fixture
def fetched(monkeypatch):
    fetched = []
    monkeypatch.setattr(install, "_packages", lambda part, python, console: fetched.append(part))
    monkeypatch.setattr(install, "_room", lambda part, hint="": None)
    return fetched


def test_it_says_how_many_packages_come_and_not_those_that_are_there(venv, monkeypatch, tmp_path):
    locks = {
        "dev": "a==1 \\\n    --hash=x\nb==1 ; sys_platform == 'win32' \\\n    --hash=x\n",
        "nemo": "a==1\nc==1\nd==2 ; platform_machine == 'x86_64' and sys_platform == 'linux'\n",
    }
    for name, text in locks.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(install, "_lock", lambda name: tmp_path / name)
    said = []
    monkeypatch.setattr(install, "_pip", lambda console, doing, command: said.append(doing))
    install._packages("dev", venv / "bin" / "python", Console(StringIO()))
    install._packages("nemo", venv / "bin" / "python", Console(StringIO()), before=["dev"])
    assert said == ["fetching about 1 packages", "fetching about 2 packages"]


@pytest.mark.parametrize(
    ("requires", "gpu", "parts", "said"),
    [
        (["sympy"], False, [], ""),
        (["sympy"], True, [], "gave torch's build for CPUs"),
        (["sympy", "nvidia-cublas==13; platform_system == 'Linux'"], True, ["cuda"], ""),
        (["cuda-toolkit[cublas]==13.0.2"], False, ["cuda"], "download.pytorch.org/whl/cpu"),
    ],
)
def test_cuda_comes_with_the_build_of_torch_that_needs_it(
    venv, fetched, monkeypatch, tmp_path, requires, gpu, parts, said
):
    monkeypatch.setattr(install, "GPU", tmp_path if gpu else tmp_path / "nvidiactl")
    out = StringIO()
    install._cuda(a_torch(venv, *requires), Console(out))
    assert fetched == parts
    assert said in out.getvalue()
    assert bool(said) == bool(out.getvalue())


@pytest.mark.parametrize(
    ("said", "because"),
    [
        ("ERROR: [Errno 28] No space left on device", "became full"),
        ("Max retries exceeded with url", "could not reach the package index"),
        ("ERROR: No matching distribution found for x==1", "No matching distribution found for x==1"),
    ],
)
def test_a_failing_pip_is_a_sentence(said, because):
    script = f"print('WARNING: Location file:///x is ignored'); print({said!r}); raise SystemExit(1)"
    with pytest.raises(LocalError, match=because) as failure:
        install._pip(Console(StringIO()), "fetching", [sys.executable, "-c", script])
    assert "is ignored" not in str(failure.value)


def test_progress_is_counted():
    class Terminal(StringIO):
        def isatty(self):
            return True

    out = Terminal()
    lines = "Collecting a==1\\n  Downloading a\\nProcessing b.whl\\nInstalling collected packages: a, b"
    install._pip(Console(out), "fetching about 2 packages", [sys.executable, "-c", f"print('{lines}')"])
    assert "fetching about 2 packages: 2" in out.getvalue()
    assert "unpacking 2 packages" in out.getvalue()


# ---- through make


def make(*arguments):
    return subprocess.run(
        ["make", *arguments], cwd=install.ROOT, capture_output=True, text=True, timeout=60, check=False
    )


def test_make_alone_lists_every_target():
    listed = make().stdout
    for target in ("run", "stop", "test", "check", "bench", "clean", "lock", "env-example"):
        assert f"make {target} " in listed


def test_a_python_that_is_not_there_is_a_sentence():
    done = make("run", "PYTHON=/nowhere/python9")
    assert done.returncode != 0
    assert "There is no /nowhere/python9 here. Stenogate needs Python 3.11 or newer" in done.stdout


def test_an_old_python_is_a_sentence(tmp_path):
    old = tmp_path / "python3.9"
    old.write_text('#!/bin/sh\n[ "$1" = -V ] && { echo "Python 3.9.2"; exit 0; }\nexit 1\n')
    old.chmod(0o755)
    done = make("test", f"PYTHON={old}")
    assert done.returncode != 0
    assert "is Python 3.9.2, and Stenogate needs 3.11 or newer. Example:" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
