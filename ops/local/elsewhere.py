"""Where PostgreSQL's programs and data are when the user that runs it cannot enter the folder we are in.

That happens to root only: PostgreSQL refuses to be root, and a checkout in root's home or in a private folder
is closed to everybody else. Opening folders is not ours to do, so a copy and the data go to another place.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from ops.local.errors import DataUnusable
from ops.local.unprivileged import Identity, blocked_at

PLACE = Path("/var/lib/stenogate")


def programs(home: Path, version: str, who: Identity | None) -> Path:
    """`home`, the wheel's folder of programs, or a copy of it that `who` can use."""
    if who is None or blocked_at(home / "bin" / "postgres", who) is None:
        return home
    copy = PLACE / f"postgres-{version}-{_mark(home)}"
    # The programs look for the wheel's libraries beside the package.
    package, libraries = home.parent, home.parent.with_name(home.parent.name + ".libs")
    if not copy.exists():
        _make_place(home, who)
        unfinished = copy.with_name(f"{copy.name}.{os.getpid()}.new")
        shutil.copytree(home, unfinished / package.name / home.name, symlinks=True)
        if libraries.exists():
            shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
        _open_to_all(unfinished)
        unfinished.rename(copy)
    return copy / package.name / home.name


def data(data_dir: Path, who: Identity | None) -> Path:
    """`data_dir`, or the folder that it links to."""
    data_dir = data_dir.absolute()
    if data_dir.is_symlink():
        target = data_dir.resolve()
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        return target
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    if who is None or blocked_at(data_dir, who) is None:
        return data_dir
    if data_dir.exists():
        raise DataUnusable(
            f"PostgreSQL runs as {who.name}, who may not enter {blocked_at(data_dir, who)}, where its data "
            f"is. Allow it (chmod o+x), or move {data_dir} away."
        )
    _make_place(data_dir, who)
    target = PLACE / f"data-{_mark(data_dir)}"
    data_dir.symlink_to(target)
    return target


def remove(data_dir: Path, home: Path | None) -> None:
    """What was put elsewhere for this `data_dir` and these programs."""
    if data_dir.is_symlink():
        shutil.rmtree(data_dir.resolve(), ignore_errors=True)
    for copy in PLACE.glob(f"postgres-*-{_mark(home)}") if home else ():
        shutil.rmtree(copy, ignore_errors=True)
    if PLACE.exists() and not any(PLACE.iterdir()) and os.access(PLACE.parent, os.W_OK):
        PLACE.rmdir()


def _mark(path: Path) -> str:
    return hashlib.sha256(str(path).encode()).hexdigest()[:12]


def _make_place(wanted: Path, who: Identity) -> None:
    try:
        PLACE.mkdir(mode=0o755, parents=True, exist_ok=True)
        PLACE.chmod(0o755)
    except OSError as error:
        raise DataUnusable(
            f"PostgreSQL refuses to run as root, {who.name} may not enter {blocked_at(wanted, who)}, and "
            f"{PLACE} cannot be made ({error.strerror}). Allow others to pass through that folder "
            "(chmod o+x), or set DATABASE_URL to a PostgreSQL of yours."
        ) from None


def _open_to_all(tree: Path) -> None:
    """To read and to run; where the umask was strict, the wheel was unpacked for its owner only."""
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | 0o444 | (0o111 if mode & 0o100 else 0))
