"""ChaosError: an experiment cannot be made, or what was waited for did not come."""

from __future__ import annotations


class ChaosError(Exception):
    """The experiment could not be made; the message says why."""


class NotPossible(ChaosError):
    """This installation has not what the experiment breaks; the message says what."""
