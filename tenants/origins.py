"""Web origins: what browsers send in `Origin`, and what a key may be restricted to."""

from __future__ import annotations

from urllib.parse import urlsplit

from tenants.errors import OriginMalformed

_DEFAULT_PORTS = {"http": 80, "https": 443}
MAX_ORIGIN_LENGTH = 255


def normalise(origin: str) -> str:
    """The one spelling of `origin`: `HTTPS://App.Example.com:443` is `https://app.example.com`."""
    try:
        parts = urlsplit(origin.strip())
        port = parts.port
    except ValueError:
        raise OriginMalformed() from None
    host = (parts.hostname or "").rstrip(".")
    extra = parts.path.rstrip("/") or parts.query or parts.fragment or parts.username or parts.password
    if parts.scheme not in _DEFAULT_PORTS or not host or extra or len(origin) > MAX_ORIGIN_LENGTH:
        raise OriginMalformed()
    if ":" in host:
        host = f"[{host}]"
    return f"{parts.scheme}://{host}" + ("" if port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{port}")


def allowed(origin: str | None, allowed_origins: frozenset[str]) -> bool:
    """A key without origins may be used from anywhere. One with origins is for those pages only."""
    if not allowed_origins:
        return True
    if origin is None:
        return False
    try:
        return normalise(origin) in allowed_origins
    except OriginMalformed:
        return False
