"""Ports: which are free, and who holds one that is not."""

from __future__ import annotations

import os
import random
import socket
from pathlib import Path

FIRST_FREE = 10_000  # servers that people know are mostly below


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    return why_not(port, host) is None


def why_not(port: int, host: str) -> OSError | None:
    """What the system says to a process that wants to listen there; None if it may."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # A port whose last connections are in TIME_WAIT is free; one that somebody listens on is not.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            return error
    return None


def free_port() -> int:
    """One that nobody listens on, and that no outgoing connection is given before somebody does."""
    for _ in range(100):
        port = random.randrange(FIRST_FREE, max(_first_outgoing(), FIRST_FREE + 1))
        if is_free(port):
            return port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        given: int = probe.getsockname()[1]
    return given


def _first_outgoing() -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError):
        return 32_768


def holder(port: int) -> str | None:
    """`nginx (pid 4711)`, or None where it cannot be known (another user's process, not Linux)."""
    inodes = _listening_inodes(port)
    if not inodes:
        return None
    for process in Path("/proc").glob("[0-9]*"):
        try:
            for descriptor in (process / "fd").iterdir():
                if os.readlink(descriptor) in inodes:
                    return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
        except OSError:
            continue
    return None


def _listening_inodes(port: int) -> set[str]:
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            columns = line.split()
            if columns[3] == "0A" and int(columns[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{columns[9]}]")
    return inodes
