import socket

from ops.local import ports


def test_a_free_port_is_none_that_an_outgoing_connection_may_be_given(monkeypatch):
    found = {ports.free_port() for _ in range(20)}
    assert len(found) > 10
    assert all(ports.FIRST_FREE <= port < ports._first_outgoing() for port in found)


def test_where_outgoing_connections_may_have_any_the_system_is_asked(monkeypatch):
    monkeypatch.setattr(ports, "_first_outgoing", lambda: 1024)
    monkeypatch.setattr(ports, "is_free", lambda port: False)
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", ports.free_port()))


def test_one_that_is_listened_on_is_not_free():
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", 0))
        somebody.listen()
        assert not ports.is_free(somebody.getsockname()[1])
