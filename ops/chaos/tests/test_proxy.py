from __future__ import annotations

import random
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from ops.chaos import proxy
from ops.chaos.proxy import FIRST_TIMEOUT_S, LONGEST_TIMEOUT_S, delay_s


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with suppress(ConnectionError):
            while piece := self.request.recv(1000):
                self.request.sendall(piece)


@pytest.fixture
def echo() -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def through(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=5)


def test_a_good_road_carries_everything_both_ways(echo: int) -> None:
    with proxy.road("127.0.0.1", echo) as road, closing(through(road.port)) as line:
        line.sendall(b"there and back")
        assert line.recv(100) == b"there and back"
        assert road.held_up_s == 0


def test_a_part_of_the_pieces_comes_late_and_none_is_missing(echo: int) -> None:
    with proxy.road("127.0.0.1", echo) as road, closing(through(road.port)) as line:
        road.loss = 0.3
        for number in range(50):
            line.sendall(bytes([number]))
            assert line.recv(100) == bytes([number])
            if road.held_up_s:
                break
        assert road.held_up_s >= FIRST_TIMEOUT_S


def test_nothing_moves_on_a_road_that_is_cut_and_nothing_is_lost_when_it_is_mended(echo: int) -> None:
    with proxy.road("127.0.0.1", echo) as road, closing(through(road.port)) as line:
        line.sendall(b"a")
        assert line.recv(100) == b"a"
        road.cut()
        line.settimeout(0.3)
        line.sendall(b"b")
        with pytest.raises(TimeoutError):
            line.recv(100)
        # Who comes meanwhile is neither refused nor answered.
        with closing(through(road.port)) as newcomer:
            newcomer.sendall(b"c")
            newcomer.settimeout(0.2)
            with pytest.raises(TimeoutError):
                newcomer.recv(100)
            assert road.stopped == 1
            road.mend()
            line.settimeout(5)
            assert line.recv(100) == b"b"


def test_who_is_not_there_is_a_line_that_is_closed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    with proxy.road("127.0.0.1", port) as road, closing(through(road.port)) as line:
        assert line.recv(100) == b""


def test_the_delays_are_those_of_tcp() -> None:
    rng = random.Random(1)
    waits = [delay_s(0.3, rng) for _ in range(20_000)]
    late = [wait for wait in waits if wait]
    assert len(late) / len(waits) == pytest.approx(0.3, abs=0.02)
    assert sum(wait > FIRST_TIMEOUT_S for wait in late) / len(late) == pytest.approx(0.3, abs=0.02)
    assert min(late) == FIRST_TIMEOUT_S
    assert max(late) == LONGEST_TIMEOUT_S
    assert all(delay_s(0.0, rng) == 0 for _ in range(100))
    assert delay_s(1.0, rng) == LONGEST_TIMEOUT_S
