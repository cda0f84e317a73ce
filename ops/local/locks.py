"""`make lock`: pin every package in requirements/*.lock, for plain pip; and say when a lock is stale.

A lock begins with a digest of what it was made from, so staleness shows without a network.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "requirements"
FROM = "# From pyproject.toml, sha256 of the dependencies it names: "


@dataclass(frozen=True)
class Lock:
    name: str
    extra: str | None
    within: str | None  # the lock whose versions this one keeps, so that both can be in one environment
    hashes: bool = True
    apart: str | None = None  # where what matches CUDA goes, which not every machine needs

    @property
    def path(self) -> Path:
        return FOLDER / f"{self.name}.lock"


# What torch's builds for NVIDIA GPUs need, and its builds for CPUs do not.
CUDA = re.compile(r"(nvidia-|cuda-|triton==)")

LOCKS = (
    # First, since it has the narrowest wishes. Builds of torch differ by machine (CPU, CUDA) under one
    # version; hashes would allow only one.
    Lock("nemo", extra="nemo", within=None, hashes=False, apart="cuda"),
    Lock("base", extra=None, within="nemo"),
    Lock("dev", extra="dev", within="nemo"),
    # Wants other versions of what the base has too: an environment of its own.
    Lock("riva", extra="riva", within=None),
)


def main(arguments: list[str]) -> int:
    for lock in LOCKS:
        write(lock, upgrade="upgrade" in arguments)
        pins = len(pinned(lock.path.read_text()))
        more = f", and those of CUDA in {lock.apart}.lock" if lock.apart else ""
        print(f"  {lock.path.relative_to(ROOT)}: {pins} packages{more}")
    return 0


def write(lock: Lock, upgrade: bool = False) -> None:
    """Versions that a lock already has are kept unless pyproject.toml forbids them, or with `upgrade`."""
    files = [lock.path, FOLDER / f"{lock.apart}.lock"] if lock.apart else [lock.path]
    new = lock.path.with_suffix(".new")
    new.write_text("".join(file.read_text() for file in files if file.exists()))
    command = [
        str(Path(sys.executable).with_name("uv")), "pip", "compile", "pyproject.toml",
        "--universal", "--fork-strategy", "fewest", "--python-version", _least_python(),
        "--no-header", "--no-annotate", "--quiet",
        "--no-emit-index-url", "--no-emit-find-links", "--output-file", str(new.relative_to(ROOT)),
    ]  # fmt: skip
    command += ["--extra", lock.extra] if lock.extra else []
    command += ["--constraints", f"requirements/{lock.within}.lock"] if lock.within else []
    command += ["--generate-hashes"] if lock.hashes else []
    command += ["--upgrade"] if upgrade else []
    environ = {**os.environ, "UV_CUSTOM_COMPILE_COMMAND": "make lock"}
    try:
        done = subprocess.run(command, cwd=ROOT, env=environ, check=False)  # noqa: S603
        if done.returncode:
            sys.exit(f"uv could not resolve {lock.path.name}; it says why above. The lock is as it was.")
        bodies = split(new.read_text()) if lock.apart else (new.read_text(),)
    finally:
        new.unlink()
    head = f"# Written by `make lock`; not to be edited. Installed by plain pip.\n{FROM}{digest(lock)}\n"
    for file, body in zip(files, bodies, strict=True):
        file.write_text(head + body)


def split(text: str) -> tuple[str, str]:
    """A lock without hashes: what every machine needs, and what only builds for NVIDIA GPUs need."""
    parts: tuple[list[str], list[str]] = ([], [])
    for line in text.splitlines(keepends=True):
        parts[bool(CUDA.match(line))].append(line)
    return "".join(parts[0]), "".join(parts[1])


def stale(lock: Lock) -> str | None:
    """Why the lock no longer belongs to pyproject.toml, or None."""
    try:
        text = lock.path.read_text()
    except FileNotFoundError:
        return f"{lock.path.name} is not there"
    if f"{FROM}{digest(lock)}\n" not in text:
        return f"the dependencies in pyproject.toml are not those that {lock.path.name} was made from"
    pins = pinned(text)
    for requirement in direct(lock):
        versions = pins.get(canonicalize_name(requirement.name), [])
        if not versions:
            return f"{requirement.name} is not in {lock.path.name}"
        if wrong := [v for v in versions if not requirement.specifier.contains(v, prereleases=True)]:
            return f"{requirement.name} {wrong[0]} in {lock.path.name} is not {requirement.specifier}"
    return None


def pinned(text: str) -> dict[str, list[Version]]:
    """The versions a lock gives each package: more than one where they differ by platform or Python."""
    found: dict[str, list[Version]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", text, re.MULTILINE):
        found.setdefault(canonicalize_name(name), []).append(Version(version))
    return found


def direct(lock: Lock) -> Iterator[Requirement]:
    project = _project()
    yield from map(Requirement, project["dependencies"])
    if lock.extra:
        yield from map(Requirement, project["optional-dependencies"][lock.extra])


def digest(lock: Lock) -> str:
    named = [_project()["requires-python"], sorted(str(requirement) for requirement in direct(lock))]
    return hashlib.sha256(json.dumps(named).encode()).hexdigest()


def _project() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project


def _least_python() -> str:
    return str(_project()["requires-python"]).removeprefix(">=")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
