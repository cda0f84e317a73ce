"""An HTTP server of a test: it answers what the test says and remembers what it was asked."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    headers: dict[str, str]  # names in lower case
    body: bytes


@dataclass
class Answer:
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    length: bool = True  # say Content-Length
    hang: threading.Event | None = None  # wait for it before the body is sent


@dataclass
class Receiver:
    answer: Callable[[Asked], Answer]
    port: int = 0
    asked: list[Asked] = field(default_factory=list)
    arrived: threading.Condition = field(default_factory=threading.Condition)

    def url(self, path: str = "/", *, host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    def wait_for(self, count: int, within_s: float = 10.0) -> list[Asked]:
        with self.arrived:
            if not self.arrived.wait_for(lambda: len(self.asked) >= count, within_s):
                raise AssertionError(f"{len(self.asked)} of {count} requests came")
            return list(self.asked)


@contextmanager
def receiver(
    answer: Callable[[Asked], Answer] = lambda _: Answer(), tls: ssl.SSLContext | None = None
) -> Iterator[Receiver]:
    mine = Receiver(answer)

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.command, self.path, headers, body)
            with mine.arrived:
                mine.asked.append(asked)
                mine.arrived.notify_all()
            said = mine.answer(asked)
            try:
                self.send_response(said.status)
                for name, value in said.headers.items():
                    self.send_header(name, value)
                if said.length:
                    self.send_header("Content-Length", str(len(said.body)))
                self.end_headers()
                if said.hang is not None:
                    self.wfile.flush()
                    said.hang.wait(30)
                self.wfile.write(said.body)
            except OSError:
                pass  # the other side has heard enough
            self.close_connection = True

        do_GET = do_POST = do_PUT = handle_any

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            pass  # a client that gave up a handshake

    server = Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    mine.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield mine
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
