"""What every address for audio understands in its query string, in whatever dialect: the region that the
client would have, and how it is to be told of another one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from gateway import query
from gateway.query import NotAllowed, Parameter

_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}\Z")


def _region(given: Sequence[str]) -> str:
    if not _NAME.match(given[-1]):
        raise NotAllowed
    return given[-1]


DESCRIBED: tuple[Parameter, ...] = (
    Parameter(
        "region",
        "the region to be served in, if the key may be there and it has room",
        "the name of a region: a lower-case letter, then letters, digits and dashes, at most 32",
        "the one that is connected to",
        _region,
        "region",
        {"type": "string", "pattern": "^[a-z][a-z0-9-]{0,31}$"},
    ),
    Parameter(
        "redirect",
        "how to be sent to another region: http, a 307 with a Location; or close, for WebSockets that cannot "
        "follow one: the socket is opened and closed with 4307 and the address as the reason",
        "http or close",
        "http",
        query.choice("http", "close"),
        "redirect",
        {"type": "string", "enum": ["http", "close"]},
    ),
)


@dataclass(frozen=True)
class Asked:
    region: str = ""
    redirect: str = "http"


_NOTHING = Asked()


def read(query_string: bytes) -> Asked:
    """Raises `BadParameter`."""
    # Most have neither, and the query is parsed again for what it is about.
    if not any(part in query_string for part in (b"region", b"redirect", b"%")):
        return _NOTHING
    found = query.read(DESCRIBED, query.fields(query_string))
    return Asked(**found)  # type: ignore[arg-type]  # by field
