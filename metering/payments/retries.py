"""When to say something again, and when never again. Pure."""

from __future__ import annotations

import random
import re
from datetime import timedelta

from faults.pauses import pause_s

# The provider knows an identifier for at least 24 hours: with an hour to spare, the same identifier cannot
# count twice. After that only its summaries can say whether the event arrived.
SAME_FOR = timedelta(hours=23)
# Longer than a call can take: whoever claimed it before has ended by then, one way or the other.
LEASE = timedelta(minutes=2)
LONGEST_PAUSE = timedelta(minutes=15)
chance = random.random
# Each stands for an event that did not arrive in 23 hours of trying.
MAX_REPLACEMENTS = 3
_REPLACEMENT = re.compile(r"-r(\d+)$")


def pause(attempts: int, retry_after: float = 0) -> timedelta:
    """By chance up to 2, 4, 8, … seconds, at most a quarter of an hour; longer if the provider says so."""
    seconds = pause_s(attempts, first_s=1, longest_s=LONGEST_PAUSE.total_seconds(), chance=chance())
    return timedelta(seconds=max(seconds, retry_after))


def replacement(identifier: str) -> str:
    """The identifier of what stands for an event that did not arrive."""
    number = replacements(identifier) + 1
    return f"{_REPLACEMENT.sub('', identifier)}-r{number}"


def replacements(identifier: str) -> int:
    """How often it has been replaced."""
    found = _REPLACEMENT.search(identifier)
    return int(found.group(1)) if found else 0
