"""Calls to URLs that customers give: audio to fetch, callbacks to send. Nothing in the house is reachable.

A name is looked up once; every address it has must be one that a customer may reach (`gateway.reach`), and
the connection is made to the address that was checked, so a name that changes its mind is of no use.
Redirects are checked like the first URL. No proxy, cookie or credential of ours goes along.
"""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address
from typing import TypeVar
from urllib.parse import unquote

import httpx

from config import env
from gateway.errors import FetchFailed, UrlRefused
from gateway.reach import Address, Network, reachable

MAX_URL = 4096
MAX_REDIRECTS = 5
MAX_ADDRESSES = 4  # of one name that are tried
LOOK_UP_S = 5.0
CONNECT_S = 5.0
READ_S = 15.0
POST_S = 15.0
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HEADERS = {"user-agent": "Stenogate", "accept": "*/*", "accept-encoding": "identity"}
_threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="resolve")

T = TypeVar("T")
Resolve = Callable[[str, int], Awaitable[list[str]]]


class TooLarge(Exception):
    """The body is larger than whoever asked for it takes."""


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a name. In threads of our own: a slow name server holds up nobody else's work."""
    loop = asyncio.get_running_loop()
    found = await loop.run_in_executor(
        _threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    )
    return [str(entry[4][0]) for entry in found]


@dataclass(frozen=True)
class Fetched:
    """The answer to a GET: its head, and the body as it comes."""

    content_type: str
    length: int | None  # what the other side says
    chunks: AsyncIterator[bytes]


@dataclass(frozen=True)
class _Target:
    """A URL that was looked at, and the addresses behind it."""

    url: httpx.URL
    addresses: tuple[str, ...]


@dataclass(frozen=True)
class Outbound:
    allowed: tuple[Network, ...] = ()
    resolve: Resolve = resolve
    tls: ssl.SSLContext | None = None  # the well-known authorities, unless given

    async def check(self, url: str) -> None:
        """Raise `UrlRefused` or `FetchFailed` if this URL could not be called now. Connects to nothing."""
        await self._look_at(_parse(url))

    @asynccontextmanager
    async def stream_get(
        self, url: str, max_bytes: int, *, within_s: float = 600.0
    ) -> AsyncIterator[Fetched]:
        """The body behind a URL, in chunks. Only time spent waiting for the other side counts.

        Raises `UrlRefused`, `FetchFailed`, and, also while the chunks are read, `TooLarge`.
        """
        patience = _Patience(within_s)
        where = _parse(url)
        for _ in range(MAX_REDIRECTS + 1):
            target = await patience.wait(self._look_at(where))
            async with self._client() as client:
                response = await patience.wait(self._send(client, target, "GET", _HEADERS))
                try:
                    if response.status_code in _REDIRECTS and "location" in response.headers:
                        where = _redirect(where, response.headers["location"])
                        continue
                    if response.status_code != 200:
                        raise FetchFailed(f"It answered with status {response.status_code}.")
                    if response.headers.get("content-encoding", "identity").lower() != "identity":
                        raise FetchFailed("It answered with a compressed body, which was not asked for.")
                    length = _length(response.headers.get("content-length"))
                    if length is not None and length > max_bytes:
                        raise TooLarge
                    yield Fetched(
                        response.headers.get("content-type", ""),
                        length,
                        _chunks(response, max_bytes, patience),
                    )
                    return
                finally:
                    await response.aclose()
        raise FetchFailed(f"It was redirected more than {MAX_REDIRECTS} times.")

    async def post(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        method: str = "POST",
        within_s: float = POST_S,
    ) -> int:
        """Send a body; the status of the answer, whose body is not read. Redirects are not followed."""
        patience = _Patience(within_s)
        target = await patience.wait(self._look_at(_parse(url)))
        async with self._client() as client:
            response = await patience.wait(self._send(client, target, method, {**_HEADERS, **headers}, body))
            await response.aclose()
            return response.status_code

    # ---- inside

    async def _look_at(self, url: httpx.URL) -> _Target:
        host = url.raw_host.decode("ascii")
        try:
            async with asyncio.timeout(LOOK_UP_S):
                found = await self.resolve(host, _port(url))
        except (OSError, TimeoutError, UnicodeError):
            raise FetchFailed("Its host name could not be found.") from None
        addresses = tuple(dict.fromkeys(found))
        if not addresses:
            raise FetchFailed("Its host name could not be found.")
        # One bad address condemns the name: which of them a client gets is the name server's choice.
        if not all(reachable(_address(address), self.allowed) for address in addresses):
            raise UrlRefused("It leads to a private or reserved address.")
        return _Target(url, addresses[:MAX_ADDRESSES])

    def _client(self) -> httpx.AsyncClient:
        # One for each call: a connection is never shared between two names that have the same address.
        return httpx.AsyncClient(
            trust_env=False,
            verify=self.tls or _tls(),
            follow_redirects=False,
            timeout=httpx.Timeout(READ_S, connect=CONNECT_S),
        )

    async def _send(
        self,
        client: httpx.AsyncClient,
        target: _Target,
        method: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
    ) -> httpx.Response:
        url = target.url
        sent = {**headers, "host": url.netloc.decode("ascii"), "connection": "close"}
        if url.userinfo:
            sent["authorization"] = (
                "Basic " + base64.b64encode(unquote(url.userinfo.decode()).encode()).decode()
            )
        for address in target.addresses:
            request = client.build_request(
                method,
                url.copy_with(host=address, userinfo=b"", fragment=None),
                headers=sent,
                content=body,
                # The certificate is checked against the name, although the connection is to an address.
                extensions={"sni_hostname": url.raw_host.decode("ascii")},
            )
            try:
                return await client.send(request, stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                if isinstance(error.__context__, ssl.SSLError) or "CERTIFICATE" in str(error):
                    raise FetchFailed("Its TLS certificate is not valid for the host.") from None
            except httpx.TimeoutException:
                raise FetchFailed("It did not answer in time.") from None
            except httpx.HTTPError:
                raise FetchFailed("Its answer was cut off, or is not HTTP.") from None
        raise FetchFailed("It could not be connected to.")


@cache
def current() -> Outbound:
    """The one of this process."""
    return Outbound(allowed=env.FETCH_ALLOW.read())


@cache
def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context()  # an operator's own authority: SSL_CERT_FILE


class _Patience:
    """How long the other side may make us wait, in all."""

    def __init__(self, seconds: float) -> None:
        self._left = seconds

    async def wait(self, what: Awaitable[T]) -> T:
        started = time.monotonic()
        try:
            async with asyncio.timeout(max(0.0, self._left)):
                return await what
        except TimeoutError:
            raise FetchFailed("It did not answer in time.") from None
        finally:
            self._left -= time.monotonic() - started


async def _chunks(response: httpx.Response, max_bytes: int, patience: _Patience) -> AsyncIterator[bytes]:
    received = 0
    body = response.aiter_raw()
    while True:
        try:
            chunk = await patience.wait(anext(body))
        except StopAsyncIteration:
            return
        except httpx.TimeoutException:
            raise FetchFailed("It did not answer in time.") from None
        except httpx.HTTPError:
            raise FetchFailed("Its answer was cut off, or is not HTTP.") from None
        received += len(chunk)
        if received > max_bytes:
            raise TooLarge
        yield chunk


def _parse(url: str) -> httpx.URL:
    if len(url) > MAX_URL:
        raise UrlRefused(f"It has {len(url)} characters; at most {MAX_URL} are read.")
    try:
        parsed = httpx.URL(url)
        host, port = parsed.raw_host, _port(parsed)
    except (httpx.InvalidURL, ValueError, KeyError):
        raise UrlRefused("It is not a URL like https://example.com/path.") from None
    if parsed.scheme not in ("http", "https") or not host:
        raise UrlRefused("It must begin with http:// or https:// and name a host.")
    if port not in (80, 443) and not 1024 <= port <= 65_535:
        raise UrlRefused("Its port must be 80, 443, or from 1024 to 65535.")
    return parsed


def _redirect(where: httpx.URL, location: str) -> httpx.URL:
    try:
        target = where.join(location)
    except (httpx.InvalidURL, ValueError):
        raise FetchFailed("It was redirected to something that is not a URL.") from None
    same = (target.scheme, target.raw_host, _port(target)) == (where.scheme, where.raw_host, _port(where))
    return _parse(str(target.copy_with(userinfo=where.userinfo if same else b"")))


def _port(url: httpx.URL) -> int:
    return url.port if url.port is not None else {"http": 80, "https": 443}.get(url.scheme, 0)


def _address(text: str) -> Address:
    try:
        return ip_address(text)
    except ValueError:
        raise UrlRefused("It leads to a private or reserved address.") from None


def _length(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdecimal() and len(text) < 19 else None
