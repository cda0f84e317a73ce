"""A wall clock that can jump: Python imports this by itself where its folder is on PYTHONPATH.

At every moment it is ahead of the machine's by as many seconds as the file says that CHAOS_CLOCK names: for
`time.time`, `time.time_ns`, and `now`, `utcnow` and `today` of `datetime`. What a library in C asks of the
kernel is not reached; nor are the monotonic clocks, which no change of the time moves. Each jump that
somebody has seen is a line in a file beside it, `.seen`.
"""

from __future__ import annotations

import datetime
import os
import time
from typing import Any

_FILE = os.environ.get("CHAOS_CLOCK", "")
_LOOK_EVERY_S = 0.05
_real_time, _real_datetime = time.time, datetime.datetime
_looked_at, _ahead_s = float("-inf"), 0.0


def ahead_s() -> float:
    global _looked_at, _ahead_s
    if time.monotonic() - _looked_at > _LOOK_EVERY_S:
        _looked_at = time.monotonic()
        try:
            with open(_FILE) as file:
                found = float(file.read() or 0)
            if found != _ahead_s:
                with open(f"{_FILE}.seen", "a") as seen:
                    seen.write(f"{found:g}\n")
            _ahead_s = found
        except (OSError, ValueError):
            _ahead_s = 0.0
    return _ahead_s


class _Either(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _real_datetime)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, _real_datetime)


class _Jumping(datetime.datetime, metaclass=_Either):
    """Makes real ones, a little later or earlier."""

    def __new__(cls, *arguments: Any, **named: Any) -> Any:
        return _real_datetime(*arguments, **named)

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Any:
        return _real_datetime.fromtimestamp(time.time(), tz)

    @classmethod
    def utcnow(cls) -> Any:
        return cls.now(datetime.UTC).replace(tzinfo=None)

    @classmethod
    def today(cls) -> Any:
        return cls.now()


if _FILE:
    time.time = lambda: _real_time() + ahead_s()
    time.time_ns = lambda: int(time.time() * 1_000_000_000)
    datetime.datetime = _Jumping  # type: ignore[misc]
