"""Where a page of a list ends: the time and id of its last row. Pure.

The next page begins after that row, so rows that come in between are neither shown twice nor left out.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from gateway.errors import BadParameter

T = TypeVar("T")

MAX_LENGTH = 256
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def encode(of: str, at: datetime, last: object) -> str:
    """`of` is the list it belongs to, `at` and `last` the time and the id of the last row shown."""
    # Not a float: a microsecond lost is a row shown twice.
    text = json.dumps([of, (at - _EPOCH) // _MICROSECOND, str(last)], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(text: str, of: str, convert: Callable[[str], T]) -> tuple[datetime, T]:
    """Time and id. Raises `BadParameter` for what is no `next_cursor` of this list."""
    try:
        if len(text) > MAX_LENGTH:
            raise ValueError
        name, microseconds, last = json.loads(
            base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        )
        if name != of or type(microseconds) is not int or type(last) is not str:
            raise ValueError
        return _EPOCH + microseconds * _MICROSECOND, convert(last)
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise BadParameter(f"cursor={text[:60]!r}: allowed is the next_cursor of a page of {of}.") from None
