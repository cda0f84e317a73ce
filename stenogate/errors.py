"""What can go wrong, each with the exit code of the command.

ClientError           1  (none of those below)
├── UsageError        2  too little is known to start
├── InputError        3  the recording cannot be read, or not as a WAV file
├── UnreachableError  4  no server answers there
├── RefusedError      5  the server answered, and said no
└── BrokenOffError    6  the stream ended before the server had finished it
"""

from __future__ import annotations


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


class BrokenOffError(ClientError):
    """The stream ended before the server had finished it."""

    exit_code = 6
