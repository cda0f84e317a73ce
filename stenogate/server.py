"""Which server to speak to, and with which key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

from stenogate.errors import UsageError

LISTEN = "/v1/listen"
DEMO_FILE = Path("var/run/demo.json")
HOW = (
    "Start a demo server with 'make run' and call this from the same directory, or name one with --url and "
    "--key, or with STENOGATE_URL and STENOGATE_KEY."
)


@dataclass(frozen=True)
class Server:
    url: str  # of the listen endpoint, without a query
    key: str = field(repr=False)


def find(url: str | None, key: str | None, environ: Mapping[str, str], demo_file: Path = DEMO_FILE) -> Server:
    """From the command line, else the environment, else the demo that `make run` started here."""
    url = url or environ.get("STENOGATE_URL") or None
    key = key or environ.get("STENOGATE_KEY") or None
    if url and key:
        return Server(listen_url(url), key)
    demo = _demo(demo_file)
    demo_url = listen_url(demo["ws_url"]) if "ws_url" in demo else None
    found = listen_url(url) if url else demo_url
    if found is None:
        raise UsageError(f"no server is named, and there is no {demo_file} here. {HOW}")
    # The demo's key goes to the demo only: a key sent to a stranger is a key to be revoked.
    key = key or (demo.get("api_key") if found == demo_url else None)
    if not key:
        raise UsageError(f"no key for {found}. {HOW}")
    return Server(found, key)


def listen_url(url: str) -> str:
    """`url` with its scheme made ws or wss and its path that of the listen endpoint."""
    parts = urlsplit(url)
    scheme = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}.get(parts.scheme)
    try:
        usable = scheme is not None and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable:
        raise UsageError(f"{url!r} is not an address like ws://127.0.0.1:8000 or https://stt.example.com")
    path = parts.path.rstrip("/")
    if not path.endswith(LISTEN):
        path += LISTEN
    return f"{scheme}://{parts.netloc}{path}"


def with_query(server: Server, params: Mapping[str, str]) -> str:
    return f"{server.url}?{urlencode(params)}"


def param(text: str) -> tuple[str, str]:
    """`name=value`, as given with --param."""
    pairs = parse_qsl(text.replace("+", "%2B"), keep_blank_values=True)
    if len(pairs) != 1 or "=" not in text:
        raise ValueError(text)
    return pairs[0]


def _demo(path: Path) -> dict[str, str]:
    try:
        facts = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read ({error}). {HOW}") from None
    if not isinstance(facts, dict):
        raise UsageError(f"{path} is not what 'make run' writes. {HOW}")
    return {name: value for name, value in facts.items() if isinstance(value, str)}
