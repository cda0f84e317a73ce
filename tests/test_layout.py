"""The tree is what docs/architecture.md says, `platform/` stays a plain folder, and files stay small."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLATFORM = ROOT / "platform"
NOT_OURS = {".git", ".venv", "var", "__pycache__", "node_modules"}

FOLDERS = [
    "docs/decisions",
    "inference_worker/engines",
    "metering",
    "ops/alerts",
    "ops/chaos",
    "ops/dashboards",
    "ops/deploy",
    "ops/load",
    "ops/local",
    "ops/runbooks",
    "ops/stripe",
    "platform/config",
    "platform/console",
    "platform/faults",
    "platform/gateway/dialects",
    "platform/wire",
    "regions",
    "requirements",
    "stenogate",
    "tenants",
    "tests/acceptance",
    "tests/benchmarks",
    "tests/contract",
    "tests/crash",
    "tests/integration",
]
# Each says in a README what always holds there and what is not promised.
DOMAINS = [
    "inference_worker",
    "metering",
    "ops",
    "ops/chaos",
    "ops/local",
    "ops/stripe",
    "platform/config",
    "platform/console",
    "platform/faults",
    "platform/gateway",
    "platform/wire",
    "regions",
    "stenogate",
    "tenants",
]
MAX_LINES = 400
LONGER: dict[str, str] = {  # a file over MAX_LINES, and why it is not split
    "metering/migrations/0003_billing.py": "tables that need each other, as makemigrations wrote them",
}

# Test files that are named after something else than a module, and after what.
NOT_A_MODULE: dict[str, str] = {
    "inference_worker/engines/tests/test_contract.py": "what every engine has in common",
    "inference_worker/engines/nemo/tests/test_equality.py": "that it says what NeMo's own pipeline says",
    "metering/reconcile/tests/test_month.py": "what a month's raw streams come to, reckoned another way",
    "ops/deploy/tests/test_compose.py": "docker-compose.yml and the Dockerfile",
    "platform/gateway/resume/tests/test_bill.py": "that whoever comes back is billed what was done, and once",
    "platform/gateway/resume/tests/test_keeper_alone.py": "what a keeper does without client or Valkey",
    "platform/gateway/resume/tests/test_visits_at_once.py": "what an old connection may not touch",
    "platform/gateway/tests/test_lane_moves.py": "what no move to another worker can break in a lane",
    "platform/gateway/tests/test_session_properties.py": "what no order of events can break in a session",
    "tenants/tests/test_isolation.py": "what every model of tenants has in common",
}


def files(suffix: str = "") -> list[Path]:
    """What is in the repository, or would be."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode == 0:
        found = [ROOT / name for name in listed.stdout.splitlines()]
    else:  # a checkout without git
        found = [path for path in ROOT.rglob("*") if not NOT_OURS & set(path.relative_to(ROOT).parts)]
    return [path for path in found if path.is_file() and path.name.endswith(suffix)]


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# ---- platform/ is a source root, and `platform` is a module of Python's


ASK = "import platform, sys; sys.stdout.write(platform.__file__ + ' ' + platform.python_version())"


@pytest.mark.parametrize(
    "command",
    [
        ["-c", ASK],
        ["manage.py", "shell", "--no-imports", "-c", ASK],
        ["-m", "celery", "-A", "config.celery", "report"],
        ["-m", "pytest", "--version"],
    ],
    ids=["python", "manage.py", "celery", "pytest"],
)
def test_platform_is_the_standard_module_however_python_is_started(command):
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    if ASK in command:
        where, version = done.stdout.split()[-2:]
        assert Path(where).name == "platform.py"
        assert not Path(where).is_relative_to(ROOT)
        assert sys.version.startswith(version)


def test_platform_is_the_standard_module_here():
    import platform

    assert platform.python_version() == sys.version.split()[0]
    assert not hasattr(platform, "__path__")


@pytest.mark.parametrize("name", ["__init__.py", "conftest.py"])
def test_platform_is_no_package(name):
    assert not (PLATFORM / name).exists()


def test_nothing_in_platform_hides_a_standard_module():
    children = {path.stem for path in PLATFORM.iterdir() if path.name != "__pycache__"}
    assert children & sys.stdlib_module_names == set()


def test_nobody_imports_platform_as_a_package():
    pattern = re.compile(r"^\s*(from platform(\.\w+)+ import|import platform\.)", re.MULTILINE)
    assert [named(path) for path in files(".py") if pattern.search(path.read_text())] == []


# ---- the tree


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_of_the_design_is_there(folder):
    kept = [path for path in files() if path.is_relative_to(ROOT / folder)]
    assert kept, f"{folder} is empty, so it is in no clone: put a README.md in it"


@pytest.mark.parametrize("folder", DOMAINS)
def test_a_domain_says_what_always_holds(folder):
    text = (ROOT / folder / "README.md").read_text()
    assert re.search("^#+ .*always holds", text, re.MULTILINE)
    assert re.search("^#+ .*not promised", text, re.MULTILINE)
    assert len(text.split()) > 40


@pytest.mark.parametrize(
    "package", ["platform/config", "platform/gateway", "platform/wire", "tenants", "ops"]
)
def test_packages_are_packages_and_their_tests_are_not(package):
    assert (ROOT / package / "__init__.py").exists()
    assert not (ROOT / package / "tests" / "__init__.py").exists()


# ---- files


def test_files_are_about_one_thing():
    lengths = {named(path): len(path.read_text().splitlines()) for path in files(".py")}
    long = {name for name, length in lengths.items() if length > MAX_LINES}
    assert long == set(LONGER), "split it, or say in LONGER why not"


def test_a_unit_test_is_named_after_its_module():
    strangers = []
    for path in files(".py"):
        if path.parent.name != "tests" or path.parent.parent == ROOT or not path.name.startswith("test_"):
            continue
        name = path.stem.removeprefix("test_")
        package = path.parent.parent
        modules = (package / f"{name}.py", package / f"__{name}__.py", package / name)
        if not any(module.exists() for module in modules):
            strangers.append(named(path))
    assert set(strangers) == set(NOT_A_MODULE)


def test_no_text_knows_the_machine_it_was_written_on():
    homes = "|".join(["home/[a-z]", "Users/[A-Za-z]", "root/[.a-z]", "work/[a-z]", "opt/pypi", "opt/wheels"])
    pattern = re.compile(rf"(?<![\w.<>$}}])/({homes})")
    found = []
    for path in files():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        found += [f"{named(path)}: {match.group()}" for match in pattern.finditer(text)]
    assert found == []


def test_every_lock_and_command_file_is_there():
    for name in ("Makefile", "LICENSE", "README.md", "CONTRIBUTING.md", ".env.example", "docker-compose.yml"):
        assert (ROOT / name).exists(), name
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
