"""From the text of an environment variable to a value. A `ValueError` completes the sentence "NAME: 'x' …".

No message quotes the text: it may be a secret.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Callable
from urllib.parse import urlsplit

TRUE, FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


def text(raw: str) -> str:
    return raw


def boolean(raw: str) -> bool:
    if raw.lower() in TRUE:
        return True
    if raw.lower() in FALSE:
        return False
    raise ValueError(f"is not a boolean ({'/'.join(TRUE)} or {'/'.join(FALSE)})")


def integer(low: int, high: int) -> Callable[[str], int]:
    def parse(raw: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", raw):  # int() would also take 1_000 and Arabic digits
            raise ValueError("is not a whole number")
        value = int(raw)
        if not low <= value <= high:
            raise ValueError(f"is not between {low} and {high}")
        return value

    return parse


def number(low: float, high: float) -> Callable[[str], float]:
    def parse(raw: str) -> float:
        if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)", raw):
            raise ValueError("is not a number")
        value = float(raw)
        if not low <= value <= high:
            raise ValueError(f"is not between {low:g} and {high:g}")
        return value

    return parse


def zero_or(low: float, high: float) -> Callable[[str], float]:
    """0 for never, else a number in bounds that do not hold 0."""
    other = number(low, high)

    def parse(raw: str) -> float:
        if raw == "0":
            return 0.0
        try:
            return other(raw)
        except ValueError as error:
            raise ValueError(f"{error}, and not 0") from None

    return parse


def three_numbers(low: float, high: float) -> Callable[[str], tuple[float, float, float]]:
    one = number(low, high)

    def parse(raw: str) -> tuple[float, float, float]:
        parts = raw.split(",")
        if len(parts) != 3:
            raise ValueError("is not three numbers with commas between them")
        try:
            first, second, third = (one(part.strip()) for part in parts)
        except ValueError as error:
            raise ValueError(f"has a part that {error}") from None
        return first, second, third

    return parse


def one_of(*allowed: str) -> Callable[[str], str]:
    def parse(raw: str) -> str:
        if raw not in allowed:
            raise ValueError(f"is not one of {', '.join(allowed)}")
        return raw

    return parse


def host(raw: str) -> str:
    """An address or a name to listen on: no scheme, no port."""
    try:
        ipaddress.ip_address(raw)
    except ValueError:
        if not re.fullmatch(r"(?=.*[A-Za-z])[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", raw):
            raise ValueError("is not an address or a host name, without a scheme or a port") from None
    return raw


def hosts(raw: str) -> tuple[str, ...]:
    """What Django's ALLOWED_HOSTS takes: names, addresses, `.example.com`, `*`."""
    found = tuple(part.strip() for part in raw.split(",") if part.strip())
    if not found:
        raise ValueError("names no host")
    for each in found:
        if each != "*":
            try:
                host(each.removeprefix(".").removeprefix("[").removesuffix("]"))
            except ValueError as error:
                raise ValueError(f"has a part that {error}") from None
    return found


def addresses(most: int) -> Callable[[str], tuple[tuple[str, int], ...]]:
    """Hosts with ports, where 443 need not be said."""

    def parse(raw: str) -> tuple[tuple[str, int], ...]:
        found: dict[tuple[str, int], None] = {}
        for part in filter(None, (part.strip() for part in raw.split(","))):
            try:
                parts = urlsplit(f"//{part}")
                name, port = parts.hostname or "", 443 if parts.port is None else parts.port
            except ValueError:
                raise ValueError("has a part whose port is no number from 1 to 65535") from None
            if port == 0 or not part.lower().startswith((name, f"[{name}]")) or parts.path or parts.query:
                raise ValueError("has a part that is no host, or host:port")
            try:
                found[host(name), port] = None
            except ValueError as error:
                raise ValueError(f"has a part that {error}") from None
        if len(found) > most:
            raise ValueError(f"names more than {most} addresses")
        return tuple(found)

    return parse


def languages(raw: str) -> tuple[str, ...]:
    """Codes such as en or yue, without regions."""
    found = tuple(part.strip().lower() for part in raw.split(","))
    if not all(re.fullmatch("[a-z]{2,3}", each) for each in found):
        raise ValueError("is not a list of languages of two or three letters each")
    return found


def networks(raw: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in raw.split(",") if part.strip())
    except ValueError:
        raise ValueError("has a part that is no network such as 10.0.0.0/8 or fd00::/8") from None


def url(*schemes: str) -> Callable[[str], str]:
    def parse(raw: str) -> str:
        if re.search(r"\s", raw) or re.search(r"%(?![0-9A-Fa-f]{2})", raw):
            raise ValueError("has a space, or a % that is not part of an escape such as %40")
        try:
            parts = urlsplit(raw)
        except ValueError:
            raise ValueError("is not a URL") from None
        if parts.scheme not in schemes:
            raise ValueError(f"is not a URL starting with {' or '.join(s + '://' for s in schemes)}")
        try:
            port_is_wrong = parts.port == 0
        except ValueError:
            port_is_wrong = True
        if port_is_wrong:
            raise ValueError(
                "has a port that is no number from 1 to 65535; or a / # ? in its password: write %2F %23 %3F"
            )
        if not parts.hostname and (parts.netloc or not parts.path.strip("/")):
            raise ValueError("is a URL without a host")
        if parts.fragment:
            raise ValueError("has a # in it: inside a password, write %23")
        return raw

    return parse


def optional_url(*schemes: str) -> Callable[[str], str]:
    other = url(*schemes)
    return lambda raw: other(raw) if raw else ""


def receipt_keys(raw: str) -> tuple[tuple[str, bytes], ...]:
    """`name:seed` and more with commas; a seed is 32 bytes in base64url without padding."""
    found = []
    for part in filter(None, (part.strip() for part in raw.split(","))):
        key_name, _, seed = part.partition(":")
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", key_name):
            raise ValueError("has a key without a name such as 2026-11 before its colon")
        if not re.fullmatch(r"[A-Za-z0-9_-]{43}", seed):
            raise ValueError("has a seed that is not 32 bytes in base64url (43 characters)")
        found.append((key_name, base64.urlsafe_b64decode(f"{seed}=")))
    if len({key_name for key_name, _ in found}) < len(found):
        raise ValueError("has two keys of the same name")
    return tuple(found)


def key(least: int) -> Callable[[str], str]:
    def parse(raw: str) -> str:
        if len(raw) < least:
            raise ValueError(f"is shorter than {least} characters")
        return raw

    return parse


def name(raw: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,31}", raw):
        raise ValueError("is not a name (a lower-case letter, then letters, digits, dashes; at most 32)")
    return raw


def identifier(raw: str) -> str:
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", raw):
        raise ValueError("is not a database identifier (lower-case letters, digits, underscores)")
    return raw
