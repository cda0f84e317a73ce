"""The `.env` file of a checkout: lines of NAME=VALUE, read before the processes start."""

from __future__ import annotations

import re
from pathlib import Path

from ops.local.errors import LocalError

LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)\Z")


class DotenvError(LocalError):
    """A line of .env cannot be read."""


def read(path: Path) -> dict[str, str]:
    """What it says; nothing if it is not there. A mistake names the line, never the value, a secret maybe."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise DotenvError(f"{path} cannot be read: {error}") from None
    values: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = LINE.match(line)
        if match is None:
            raise DotenvError(f"{path}, line {number}: not NAME=VALUE. Example: GATEWAY_PORT=8001")
        name, value = match.groups()
        if name in values:
            raise DotenvError(f"{path}, line {number}: {name} is set a second time.")
        values[name] = _unquote(value, path, number, name)
    return values


def _unquote(value: str, path: Path, number: int, name: str) -> str:
    for quote in ("'", '"'):
        if value.startswith(quote):
            inner, closing, rest = value[1:].partition(quote)
            if not closing or (rest.strip() and not rest.strip().startswith("#")):
                raise DotenvError(f"{path}, line {number}: the quote that {name} opens is not closed.")
            return inner
    return re.split(r"\s+#", value, maxsplit=1)[0].strip()
