"""What can go wrong, each with the exit code of the command.

ClientError           1  (none of those below)
├── UsageError        2  too little is known to start
├── InputError        3  the recording cannot be read, or not as a WAV file
├── UnreachableError  4  no server answers there
├── RefusedError      5  the server answered, and said no
└── BrokenOffError    6  the stream ended before the server had finished it, and could not be gone on with
"""

from __future__ import annotations

# Refusals that pass. Of those with 409 only one does.
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
CONFLICT = "resume_conflict"


class ClientError(Exception):
    """The recording was not transcribed, or not all of it."""

    exit_code = 1


class UsageError(ClientError):
    """The command line, the environment or `var/run/demo.json` does not say enough."""

    exit_code = 2


class InputError(ClientError):
    """The recording cannot be read, or not as a WAV file."""

    exit_code = 3


class UnreachableError(ClientError):
    """No server answers there."""

    exit_code = 4


class RefusedError(ClientError):
    """The server answered, and said no."""

    exit_code = 5

    def __init__(
        self, text: str, *, status: int = 0, code: str = "", retry_after_s: float | None = None
    ) -> None:
        super().__init__(text)
        self.status, self.code, self.retry_after_s = status, code, retry_after_s

    @property
    def passes(self) -> bool:
        return self.status in PASSING or self.code == CONFLICT


class BrokenOffError(ClientError):
    """The stream ended before the server had finished it, and could not be gone on with."""

    exit_code = 6
