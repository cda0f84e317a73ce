"""Two parts of a line each: pytest runs for real, on tests of our own making."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
import tomllib

import pytest

from ops.local import parts

ONE_OF_EACH = """
import sys
from ops.local.parts import Part, main
sys.exit(main([Part("the whole service", "stack"), Part("all others", "not stack")], sys.argv[1:]))
"""


@pytest.fixture
def tests(tmp_path):
    """Writes a file of tests; hands back the arguments with which pytest finds only that."""

    def write(text):
        file = tmp_path / "test_it.py"
        file.write_text("import pytest\n" + textwrap.dedent(text))
        (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = stack: of the whole service\n")
        return [str(file), "-c", str(tmp_path / "pytest.ini")]

    return write


def run(arguments):
    return subprocess.Popen(
        [sys.executable, "-c", ONE_OF_EACH, *arguments],
        cwd=parts.ROOT, env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def ended(arguments):
    process = run(arguments)
    said, _ = process.communicate(timeout=60)
    return process.returncode, said


def test_every_room_of_tests_is_in_one_part():
    def rooms(marker):
        return sorted(room for part in parts.PARTS if part.marker == marker for room in part.rooms)

    with (parts.ROOT / "pyproject.toml").open("rb") as file:
        assert rooms("not stack") == sorted(tomllib.load(file)["tool"]["pytest"]["ini_options"]["testpaths"])
    listed = subprocess.run(
        ["git", "grep", "--untracked", "-lF", "pytest.mark.stack"],
        cwd=parts.ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    tests = [name for name in listed.stdout.splitlines() if re.search(r"(^|/)test_\w+\.py$", name)]
    ours = "ops/local/tests/test_parts.py"  # whose own tests are made of such
    found = {re.match(r"tests/\w+|.*", name)[0] for name in tests if name != ours}
    assert rooms("stack") == sorted(found)


def test_what_is_in_its_rooms_for_users_needs_the_whole_service():
    folders = (parts.ROOT / "tests" / name for name in ("integration", "acceptance"))
    files = [file for folder in folders for file in folder.glob("test_*.py")]
    assert files
    assert [file.name for file in files if "pytest.mark.stack" not in file.read_text()] == []


def test_both_run_and_both_are_shown(tests):
    code, said = ended(
        tests("""
        @pytest.mark.stack
        def test_one(): pass
        def test_two(): pass
        def test_three(): pass
    """)
    )
    assert code == 0
    assert "======== the whole service ========" in said
    assert "\nthe whole service: 1 passed, 2 deselected in" in said
    assert "\nall others: 2 passed, 1 deselected in" in said


def test_a_failure_in_one_is_shown_and_fails_the_whole(tests):
    code, said = ended(
        tests("""
        @pytest.mark.stack
        def test_one(): pass
        def test_two(): assert False, "the reason"
    """)
    )
    assert code == 1
    assert "AssertionError: the reason" in said
    assert "1 failed, 1 deselected in" in said
    assert "1 passed, 1 deselected in" in said


def test_a_part_that_is_killed_fails_the_whole(tests):
    code, said = ended(
        tests("""
        import os
        @pytest.mark.stack
        def test_one(): os.kill(os.getpid(), 9)
        def test_two(): pass
    """)
    )
    assert code == 9
    assert "the whole service: was killed by SIGKILL" in said


def test_a_stop_ends_both_and_lets_them_clean_up(tests, tmp_path):
    process = run(
        tests(f"""
        import os, signal
        def say(what): open({str(tmp_path)!r} + f"/{{what}}{{os.getpid()}}", "w").close()
        @pytest.fixture
        def server():
            yield
            say("down")
        @pytest.mark.stack
        def test_one(server): say("up"); signal.pause()
        def test_two(server): say("up"); signal.pause()
    """)
    )
    deadline = time.monotonic() + 30
    while len(list(tmp_path.glob("up*"))) < 2:
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert len(list(tmp_path.glob("down*"))) == 2
