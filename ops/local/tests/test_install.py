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


def test_dev_has_all_that_base_has(venv):
    stamp(venv, "dev")
    assert install.is_current("base", venv)
    assert install.is_current("dev", venv)


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
    with pytest.raises(NoSpace, match="has 50 MB left; installing needs about 700 MB"):
        install.install("base", venv, Console(StringIO()))


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
