"""Who runs what must not run as root, and where that user can get at its files."""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from ops.local.errors import LocalError

CANDIDATES = ("nobody", "postgres", "daemon")


@dataclass(frozen=True)
class Identity:
    name: str
    uid: int
    gid: int


def identity(owner_of: Path | None = None) -> Identity | None:
    """Whom to become: nobody needed (None) unless we are root; then the owner of existing data, else a user
    that every system has."""
    if os.geteuid() != 0:
        return None
    if owner_of is not None and owner_of.exists() and (uid := owner_of.stat().st_uid) != 0:
        return _by_uid(uid)
    for name in CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Identity(name, entry.pw_uid, entry.pw_gid)
    raise LocalError(
        f"PostgreSQL refuses to run as root, and none of the users {', '.join(CANDIDATES)} exists to run it "
        "as. Start as another user, or set DATABASE_URL to a PostgreSQL of yours."
    )


def _by_uid(uid: int) -> Identity:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return Identity(f"uid {uid}", uid, uid)
    return Identity(entry.pw_name, entry.pw_uid, entry.pw_gid)


def blocked_at(path: Path, who: Identity) -> Path | None:
    """The first folder on the way to `path` (and not `path` itself) that `who` may not pass through."""
    for folder in reversed(path.resolve().parents):
        try:
            status = folder.stat()
        except FileNotFoundError:
            return None  # we make the rest ourselves
        if status.st_uid == who.uid:
            bit = stat.S_IXUSR
        elif status.st_gid == who.gid:
            bit = stat.S_IXGRP
        else:
            bit = stat.S_IXOTH
        if not status.st_mode & bit:
            return folder
    return None
