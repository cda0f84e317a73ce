from __future__ import annotations

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from gateway.http_protocol import Channel

TIMEOUT_S = 60


def test_a_request_that_comes_by_the_line_is_given_up() -> None:
    clock, transport, channel = Clock(), StringTransport(), Channel()
    channel.callLater = clock.callLater
    channel.timeOut = TIMEOUT_S
    channel.makeConnection(transport)
    for number in range(TIMEOUT_S - 1):
        channel.dataReceived(b"x: y\r\n" if number else b"GET / HTTP/1.1\r\n")
        clock.advance(1)
    assert not transport.disconnecting
    clock.advance(1)
    assert transport.disconnecting
