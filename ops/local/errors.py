"""What can go wrong with the local stack. A message is a sentence for the person at the terminal.

LocalError
├── Missing        a wheel, a program or a file that should be there is not
├── PortTaken      somebody else listens where a part of the stack should
├── DataUnusable   a data directory is of another version, incomplete or somebody else's
├── NoSpace        the disk is full, or nearly
├── AlreadyRunning another `make run` works on the same var/
└── StartFailed    a process ended, or did not become ready in time
"""

from __future__ import annotations


class LocalError(Exception):
    """The local stack cannot do what it was asked; the message says why and what to do."""


class Missing(LocalError):
    """A wheel, a program or a file that should be there is not."""


class PortTaken(LocalError):
    """Somebody else listens where a part of the stack should."""


class DataUnusable(LocalError):
    """A data directory is of another version, incomplete or somebody else's."""


class NoSpace(LocalError):
    """The disk is full, or nearly."""


class AlreadyRunning(LocalError):
    """Another `make run` works on the same var/."""


class StartFailed(LocalError):
    """A process ended, or did not become ready in time."""
